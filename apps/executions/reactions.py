"""What executions does when another app, or it itself, has spoken."""
