"""Watching the servers: health over HTTP, metrics, connections, sizes, slow statements, and the pool's plan."""
