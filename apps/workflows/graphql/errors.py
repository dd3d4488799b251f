"""How the API shows that a document is wrong."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.errors import UserError, register_error
from apps.workflows.graphql.reports import ValidationIssue
from apps.workflows.invalid import GraphInvalid


@strawberry.type
class GraphValidationError(UserError):
    """The document cannot be read or must not run; every issue says how to mend it."""

    issues: list[ValidationIssue]


register_error(
    GraphInvalid,
    lambda refusal, shown: GraphValidationError(
        **shown, issues=[ValidationIssue.of(issue) for issue in refusal.issues]
    ),
    GraphValidationError,
)
