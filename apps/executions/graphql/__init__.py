"""GraphQL of executions: runs, their steps and logs, and the live stream of a run."""
