"""Evaluates what tenants write, expressions and small scripts, outside the server's interpreter."""

from apps.executions.sandbox.limits import (
    EXPRESSION_LIMITS,
    SCRIPT_LIMITS,
    Limits,
    SandboxCode,
    SandboxError,
)
from apps.executions.sandbox.pool import HostFunction, Sandbox, ScriptResult, shared
from apps.executions.sandbox.tier import Tier, TierReport, detect

__all__ = [
    "EXPRESSION_LIMITS",
    "SCRIPT_LIMITS",
    "HostFunction",
    "Limits",
    "Sandbox",
    "SandboxCode",
    "SandboxError",
    "ScriptResult",
    "Tier",
    "TierReport",
    "detect",
    "shared",
]
