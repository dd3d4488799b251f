"""What one expression is: which names it uses, what it may not be, how it reads for the sandbox.

Nothing here evaluates anything; the sandbox gets `Expression.python`, `a.b` rewritten to `a['b']`.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

MAX_LENGTH = 4_096
MAX_PARTS = 500
MAX_DEPTH = 50

SCOPE = frozenset(
    {"parameters", "variables", "nodes", "item", "index", "run", "environment", "secrets"}
)
"""The names every expression may use."""
CONDITION_VALUE = "value"
"""In a condition: what travels along the connection; the source's output ports are names too."""
FUNCTIONS = frozenset(
    [
        "abs",
        "all",
        "any",
        "bool",
        "dict",
        "divmod",
        "enumerate",
        "filter",
        "float",
        "int",
        "isinstance",
        "len",
        "list",
        "map",
        "max",
        "min",
        "pow",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    ]
)

Reference: TypeAlias = tuple[str, ...]
"""A dotted access from its first name on: `nodes.train.model` is ("nodes", "train", "model")."""


class ExpressionInvalid(ValueError):
    """The text can never work as an expression."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Expression:
    """One parsed expression."""

    source: str
    python: str
    references: tuple[Reference, ...]

    @property
    def names(self) -> frozenset[str]:
        """The free names it needs values for."""
        return frozenset(reference[0] for reference in self.references)


@lru_cache(maxsize=4_096)
def parse(source: str) -> Expression:
    """Parse and rewrite one expression; raises ExpressionInvalid. Pure, so remembered."""
    source = source.strip()
    if not source:
        raise ExpressionInvalid("EXPRESSION_EMPTY", "Write an expression between the braces.")
    if len(source) > MAX_LENGTH:
        raise ExpressionInvalid(
            "EXPRESSION_TOO_LARGE",
            f"An expression has at most {MAX_LENGTH} characters; use a code node for more.",
        )
    tree = _tree(source)
    _refuse(tree)
    rewriter = _Rewriter(_bound(tree))
    try:
        python = ast.unparse(rewriter.visit(tree))
    except ValueError as error:  # An f-string that needs more kinds of quotes than there are.
        raise ExpressionInvalid("EXPRESSION_SYNTAX", f"Use other quotes: {error}.") from error
    return Expression(source, python, tuple(dict.fromkeys(rewriter.references)))


def _tree(source: str) -> ast.Expression:
    try:
        return ast.parse(source, mode="eval")
    except SyntaxError as error:
        message = f"This is no Python expression: {error.msg} at character {error.offset}."
        raise ExpressionInvalid("EXPRESSION_SYNTAX", message) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionInvalid(
            "EXPRESSION_TOO_LARGE", "This expression is too deeply nested; use a code node."
        ) from None


_JSON_CONSTANTS = (str, int, float, bool, type(None))
_NEVER = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.MatMult)


def _refuse(tree: ast.Expression) -> None:
    """What parses and can never give a JSON value in the sandbox."""
    level: list[ast.AST] = [tree]
    count = depth = 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_PARTS or depth > MAX_DEPTH:
            raise ExpressionInvalid(
                "EXPRESSION_TOO_LARGE", "This expression has too many parts; use a code node."
            )
        for part in level:
            _refuse_part(part)
        level = [child for part in level for child in ast.iter_child_nodes(part)]


def _refuse_part(part: ast.AST) -> None:
    match part:
        case ast.Constant(value=value) if not isinstance(value, _JSON_CONSTANTS):
            what = f"the value {ast.unparse(part)}, which is no JSON"
        case ast.Attribute(attr=name) | ast.Name(id=name) if name.startswith("__"):
            what = f"`{name}`"
        case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
            what = "an assignment"
        case _ if isinstance(part, _NEVER):
            what = "`:=`, `@`, await or yield"
        case _:
            return
    raise ExpressionInvalid("EXPRESSION_NOT_ALLOWED", f"An expression cannot use {what}.")


def _bound(tree: ast.Expression) -> frozenset[str]:
    """Names that comprehensions and lambdas bind themselves."""
    names = {
        part.id
        for part in ast.walk(tree)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    return frozenset(names | {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)})


class _Rewriter(ast.NodeTransformer):
    """`metrics.accuracy` becomes `metrics['accuracy']`; a method call `name.upper()` stays."""

    def __init__(self, bound: frozenset[str]) -> None:
        self.references: list[Reference] = []
        self._own = bound | FUNCTIONS

    def visit_Call(self, call: ast.Call) -> ast.AST:
        function = call.func
        if isinstance(function, ast.Attribute):
            function.value = self.visit(function.value)
        else:
            call.func = self.visit(function)
        call.args = [self.visit(argument) for argument in call.args]
        for keyword in call.keywords:
            keyword.value = self.visit(keyword.value)
        return call

    def visit_Attribute(self, access: ast.Attribute) -> ast.AST:
        self._refer(access)
        return self._subscripted(access)

    def visit_Subscript(self, access: ast.Subscript) -> ast.AST:
        self._refer(access)
        return self._subscripted(access)

    def visit_Name(self, name: ast.Name) -> ast.AST:
        self._refer(name)
        return name

    def _refer(self, access: ast.expr) -> None:
        path = _path(access)
        if path and path[0] not in self._own:
            self.references.append(path)

    def _subscripted(self, access: ast.expr) -> ast.expr:
        """Down the chain without counting its inner parts as references of their own."""
        match access:
            case ast.Attribute():
                inner = self._subscripted(access.value)
                key = ast.Constant(access.attr)
                return ast.copy_location(ast.Subscript(inner, key, ast.Load()), access)
            case ast.Subscript():
                access.value = self._subscripted(access.value)
                access.slice = self.visit(access.slice)
                return access
            case ast.Name():
                return access
        rewritten: ast.expr = self.visit(access)
        return rewritten


def _path(access: ast.expr) -> Reference:
    """The names of a dotted access; of what is computed, only the part before is known."""
    parts: list[str] = []
    while not isinstance(access, ast.Name):
        match access:
            case ast.Attribute():
                parts.append(access.attr)
            case ast.Subscript(slice=ast.Constant(value=str() | int() as key)):
                parts.append(str(key))
            case ast.Subscript():
                parts.clear()
            case _:
                return ()
        access = access.value
    return (access.id, *reversed(parts))
