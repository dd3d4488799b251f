"""Commands of executions."""
