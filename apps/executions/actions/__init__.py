"""Every write that people and other apps ask of executions."""

from apps.executions.actions.starting import start_run
from apps.executions.actions.stopping import cancel_run

__all__ = ["cancel_run", "start_run"]
