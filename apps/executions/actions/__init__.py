"""Every write that people and other apps ask of executions."""

from apps.executions.actions.handling import set_error_handler
from apps.executions.actions.pausing import pause_run, resume_run
from apps.executions.actions.pinning import pin_output
from apps.executions.actions.repeating import Again, fork_run, retry_run
from apps.executions.actions.resolving import resolve_step
from apps.executions.actions.signaling import signal_run
from apps.executions.actions.starting import presume_run, start_run
from apps.executions.actions.stopping import cancel_run
from apps.executions.actions.telling import answer_step
from apps.executions.actions.testing import Trial, try_draft, try_node

__all__ = [
    "Again",
    "Trial",
    "answer_step",
    "cancel_run",
    "fork_run",
    "pause_run",
    "pin_output",
    "presume_run",
    "resolve_step",
    "resume_run",
    "retry_run",
    "set_error_handler",
    "signal_run",
    "start_run",
    "try_draft",
    "try_node",
]
