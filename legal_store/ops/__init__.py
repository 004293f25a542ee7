"""The tasks that people type, one module for each job: thin shells over the operations.

A module here is no different from a plugin's: it declares tasks with `legal_store.cli.task.task`. Modules import
Invoke and legal_store.cli at the top and everything else inside the tasks, so that any task starts fast.
"""
