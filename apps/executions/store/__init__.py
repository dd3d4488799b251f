"""The engine's port to PostgreSQL: its own connections, one function call per write."""
