"""Where expressions stand in the texts of a document, and how their values get back in place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from apps.workflows.graph.declaration import SECRET_PATTERN
from apps.workflows.graph.expressions import Expression, ExpressionInvalid, parse

MAX_EXPRESSIONS = 200

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class SecretReference:
    """`{{ secrets.NAME }}` as a whole text: opaque, opened only by a node's host function."""

    name: str


@dataclass(frozen=True)
class Template:
    """A text with expressions in it; one that is an expression as a whole keeps its type."""

    pieces: tuple[str | Expression, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Its expressions, in the order of the values `render` wants."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Expression))

    def render(self, values: Sequence[Any]) -> Any:
        """The text with its values in place; None leaves nothing, other values stand as JSON."""
        if len(self.pieces) == 1:
            return values[0]
        waiting = iter(values)
        return "".join(
            piece if isinstance(piece, str) else _as_text(next(waiting)) for piece in self.pieces
        )


@dataclass(frozen=True)
class Slot:
    """Where in a configuration something has to be resolved."""

    path: Path
    content: Template | SecretReference


def slots(
    configuration: Mapping[str, Any], *, verbatim: frozenset[str] = frozenset()
) -> Iterator[Slot]:
    """Every template and secret reference in a configuration; raises ExpressionInvalid on the way.

    `verbatim` names the parameters that hold code or a template of their own (`NodeType.code`):
    their braces are not ours.
    """
    for path, text in texts(configuration, verbatim=verbatim):
        yield Slot(path, _content(text))


def texts(
    configuration: Mapping[str, Any], *, verbatim: frozenset[str] = frozenset()
) -> Iterator[tuple[Path, str]]:
    """Every text that holds `{{`, with its path, in the document's order."""
    stack: list[tuple[Path, Any]] = [
        ((name,), configuration[name])
        for name in reversed([*configuration])
        if name not in verbatim
    ]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(((*path, key), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend(((*path, at), value[at]) for at in reversed(range(len(value))))
        elif isinstance(value, str) and "{{" in value:
            yield path, value


def fill(configuration: Mapping[str, Any], values: Mapping[Path, Any]) -> Any:
    """A copy of the configuration with the rendered value at each path."""

    def copy(value: Any, path: Path) -> Any:
        if path in values:
            return values[path]
        if isinstance(value, Mapping):
            return {key: copy(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [copy(inner, (*path, at)) for at, inner in enumerate(value)]
        return value

    return copy(configuration, ())


def read(text: str) -> str | Template | SecretReference:
    """A plain text stays one; raises ExpressionInvalid for braces that can never work."""
    return _content(text) if "{{" in text else text


def secret_in(text: str) -> bool:
    """Whether the text is a secret reference as a whole."""
    return SECRET_PATTERN.fullmatch(text.strip()) is not None


def condition(text: str) -> Expression:
    """A connection's condition, with or without braces."""
    stripped = text.strip()
    if stripped.startswith("{{") and _end(stripped, 2) == len(stripped) - 2:
        return parse(stripped[2:-2])
    if "{{" in stripped:  # Python would read a set of a set.
        raise ExpressionInvalid(
            "EXPRESSION_SYNTAX",
            "A condition is one expression: write `a and b` without inner braces.",
        )
    return parse(stripped)


def _content(text: str) -> Template | SecretReference:
    if secret := SECRET_PATTERN.fullmatch(text.strip()):
        return SecretReference(secret.group(1))
    content = Template(tuple(_pieces(text)))
    if any("secrets" in expression.names for expression in content.expressions):
        raise ExpressionInvalid(
            "SECRET_NOT_ALONE",
            "A secret is opaque: `{{ secrets.NAME }}` must be the whole value of its field, "
            "not part of a text or a calculation.",
        )
    return content


def _pieces(text: str) -> Iterator[str | Expression]:
    if text.count("{{") > MAX_EXPRESSIONS:
        message = (
            f"A text holds at most {MAX_EXPRESSIONS} expressions; use a template or code node."
        )
        raise ExpressionInvalid("EXPRESSION_TOO_LARGE", message)
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        if begin > at:
            yield text[at:begin]
        end = _end(text, begin + 2)
        if end < 0:
            raise ExpressionInvalid(
                "EXPRESSION_NOT_CLOSED",
                "`{{` has no `}}`; close it, or write {{ '{{' }} for the braces themselves.",
            )
        yield parse(text[begin + 2 : end])
        at = end + 2
    if at < len(text):
        yield text[at:]


def _end(text: str, at: int) -> int:
    """Where the `}}` stands that closes; braces in strings and dictionaries do not."""
    depth, quote = 0, ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif depth == 0 and text.startswith("}}", at):
            return at
        elif character in ")]}":
            depth -= 1
        at += 1
    return -1


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
