"""Who may start, see and stop runs: the only home of these permissions."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_run_workflow(actor: Actor) -> bool:
    """Start runs."""
    return actor.has(Permission.WORKFLOWS_RUN)


def can_read_runs(actor: Actor) -> bool:
    """See runs, their steps, logs and results."""
    return actor.has(Permission.WORKFLOWS_READ)


def can_cancel_run(actor: Actor) -> bool:
    """Stop a run."""
    return actor.has(Permission.WORKFLOWS_RUN)


def can_pause_run(actor: Actor) -> bool:
    """Pause a run and let it go on."""
    return actor.has(Permission.WORKFLOWS_RUN)


def can_pin_output(actor: Actor) -> bool:
    """Pin sample data to nodes of a draft."""
    return actor.has(Permission.WORKFLOWS_WRITE)


def can_signal_run(actor: Actor) -> bool:
    """Send a signal that a step may wait for."""
    return actor.has(Permission.WORKFLOWS_RUN)


def can_set_error_handler(actor: Actor) -> bool:
    """Say which workflow handles the failures of all others."""
    return actor.has(Permission.TENANT_ADMIN)


def can_resolve_step(actor: Actor) -> bool:
    """Say what became of an effect in doubt, and how an escalated failure goes on."""
    return actor.has(Permission.WORKFLOWS_RUN)
