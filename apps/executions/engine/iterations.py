"""Opened iterations of containers: copies of the body's steps that join those of the run."""

from __future__ import annotations

from dataclasses import replace

from apps.executions.engine.frames import Frame
from apps.executions.engine.plan import CONTAINER, Link, Plan, Step


class Iteration:
    """One opened body: where its steps begin in the run, and how many have not settled.

    It is broken when a step in it has failed and nobody received the failure.
    """

    __slots__ = ("base", "body", "container", "frame", "is_broken", "left", "parent")

    def __init__(
        self, body: Plan, frame: Frame, *, container: int, base: int, parent: Iteration | None
    ) -> None:
        self.body = body
        self.frame = frame
        self.container = container
        self.base = base
        self.parent = parent
        self.left = len(body.steps) - len(body.standby)
        self.is_broken = False

    @property
    def is_dead(self) -> bool:
        """A failure in it, or around it, ended it: nothing in it starts or follows any more."""
        at: Iteration | None = self
        while at is not None:
            if at.is_broken:
                return True
            at = at.parent
        return False

    def is_within(self, other: Iteration) -> bool:
        """Whether it is the other one, or opened by a step inside it."""
        at: Iteration | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False

    def copies(self, *, first_link: int) -> tuple[list[Step], list[Link]]:
        """The body's steps and links as those of the run."""
        base, prefix = self.base, self.frame.prefix
        links = [
            Link(
                index=first_link + link.index,
                id=link.id,
                source=link.source if link.source == CONTAINER else base + link.source,
                source_port=link.source_port,
                target=link.target if link.target == CONTAINER else base + link.target,
                target_port=link.target_port,
                conditional=link.conditional,
            )
            for link in self.body.links
        ]
        steps = [
            replace(
                step,
                index=base + step.index,
                path=prefix + step.path,
                incoming=tuple([links[link.index] for link in step.incoming]),
                outgoing=tuple([links[link.index] for link in step.outgoing]),
                exits=tuple([links[link.index] for link in step.exits]),
            )
            for step in self.body.steps
        ]
        return steps, links
