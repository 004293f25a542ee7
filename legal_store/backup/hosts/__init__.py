"""Backups that a managed host makes by itself, through its public API. One module for each host."""
