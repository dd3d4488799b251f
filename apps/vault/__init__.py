"""Secrets, variables and connections of a tenant, per environment."""
