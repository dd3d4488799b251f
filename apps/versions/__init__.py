"""Frozen: commits, deployments to environments, and the one table of approvals."""
