"""Runs of workflows: start, execute durably, watch, cancel."""
