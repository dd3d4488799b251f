"""How versions refuse: a number taken, nothing to commit, nothing to run, a vote decided."""

from __future__ import annotations

from collections.abc import Mapping

from apps.kit.errors import AlreadyExists, Conflict, ErrorCode, Forbidden, Refusal


class VersionConflict(AlreadyExists):
    """The number is taken, or not above the latest."""

    def __init__(self, *, wanted: str, latest: str, suggested: str) -> None:
        super().__init__(
            f"Version {wanted} is not above {latest}, the latest. Use {suggested} or higher.",
            path=("version",),
        )
        self.latest = latest
        self.suggested = suggested


class VersionInvalid(Refusal):
    """The text is no semantic version."""

    def __init__(self) -> None:
        super().__init__(
            "This is no semantic version. Write major.minor.patch, for example 1.4.0 or "
            "2.0.0-beta.1.",
            path=("version",),
        )


class NothingToCommit(Conflict):
    """The draft is what the head of the branch is."""

    def __init__(self, *, latest: str) -> None:
        super().__init__(
            f"Nothing has changed since version {latest}. Change the draft before you commit."
        )


class NotDeployed(Conflict):
    """The environment has no version of the workflow."""

    def __init__(self, *, environment: str) -> None:
        super().__init__(
            f"No version of this workflow is deployed to {environment}. Commit and deploy one, "
            "name a version, or run it in development.",
            path=("environment",),
        )


class AlreadyDecided(Conflict):
    """The question has its answer."""

    def __init__(self, *, status: str) -> None:
        super().__init__(f"This approval is {status.lower().replace('_', ' ')} already.")


class OwnRequest(Refusal):
    """Nobody approves what they asked for themselves."""

    code = ErrorCode.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("You asked for this yourself; somebody else has to decide.")


class NotAsked(Forbidden):
    """The question names who may answer it."""

    def __init__(self) -> None:
        super().__init__("This question is for others: its approvers are named.")


class FormInvalid(Refusal):
    """Answers that do not fit the form; nothing was written."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """`problems`: a sentence for each field; for the form as a whole under the empty name."""
        self.parts = tuple(
            Refusal(sentence, path=("form", name) if name else ("form",))
            for name, sentence in problems.items()
        )
        super().__init__(
            " ".join(f"{name}: {text}" if name else text for name, text in problems.items()),
            path=self.parts[0].path,
        )
