"""What a node type says about itself: ports, effect, needs, parameters, manual and handler.

An author's file holds one `@node(...)` on one function. Palette, form, validator, scanner,
marketplace and engine read the `NodeType` made from it; only the runner imports the handler.
"""

import dataclasses
import inspect
import json
import keyword
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, Self, TypeAlias, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from apps.workflows.graph.context import (
    ArtifactRef,
    Artifacts,
    HttpClient,
    HttpResponse,
    Log,
    NodeContext,
    NodeError,
    Secret,
)
from apps.workflows.graph.ports import ERROR_PORT, PORT_PATTERN, Port, PortSpec
from apps.workflows.graph.repeat import Iteration, Repeat
from apps.workflows.graph.waits import TIMEOUT_PORT, Wait, WaitKind, outlasts

__all__ = [
    "ERROR_PORT",
    "TIMEOUT_PORT",
    "ArtifactRef",
    "Artifacts",
    "Category",
    "Effect",
    "Example",
    "HttpClient",
    "HttpResponse",
    "Inputs",
    "Isolation",
    "Iteration",
    "Json",
    "Log",
    "NodeContext",
    "NodeError",
    "NodeParameters",
    "NodeType",
    "Outputs",
    "Port",
    "PortSpec",
    "Repeat",
    "Resources",
    "Secret",
    "Wait",
    "WaitKind",
    "declared_in",
    "field",
    "node",
    "node_type_of",
    "secret_name",
]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""Any JSON value."""
Inputs: TypeAlias = Mapping[str, Any]
"""Values by input port; a port declared `multiple` holds a list in document order."""
Outputs: TypeAlias = Mapping[str, Any]
"""Values by output port; a port that is absent was not taken."""

TYPE_PATTERN = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
SECRET_PATTERN = re.compile(r"\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]{0,127})\s*\}\}")


class Effect(StrEnum):
    """What running a node twice would do to the world; the engine treats it by this alone."""

    PURE = "PURE"
    TRANSACTIONAL = "TRANSACTIONAL"
    KEYED = "KEYED"
    RECONCILABLE = "RECONCILABLE"
    UNSAFE = "UNSAFE"


class Isolation(StrEnum):
    """Where the handler runs: in the worker, in a process of its own, or in the sandbox."""

    INLINE = "inline"
    PROCESS = "process"
    SANDBOX = "sandbox"


class Category(StrEnum):
    """The drawers of the designer's palette."""

    INPUT = "input"
    PROCESSING = "processing"
    AI_ML = "ai_ml"
    DECISION = "decision"
    OUTPUT = "output"
    INTEGRATION = "integration"


_CATEGORY_OF_FAMILY = {
    "input": Category.INPUT,
    "trigger": Category.INPUT,
    "transform": Category.PROCESSING,
    "data": Category.PROCESSING,
    "stream": Category.PROCESSING,
    "ml": Category.AI_ML,
    "llm": Category.AI_ML,
    "rag": Category.AI_ML,
    "agent": Category.AI_ML,
    "control": Category.DECISION,
    "output": Category.OUTPUT,
}


PortDeclaration: TypeAlias = Mapping[str, Port | PortSpec]


class NodeParameters(BaseModel):
    """The typed `configuration` of a node; its JSON Schema is served as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def read(cls, configuration: Mapping[str, Any]) -> Self:
        """Validate JSON strictly: "1" is no number. Raises pydantic.ValidationError."""
        return cls.model_validate_json(json.dumps(configuration), strict=True)


def field(
    default: Any = ..., *, title: str, description: str | None = None, **constraints: Any
) -> Any:
    """A parameter's default, title and constraints (gt, ge, lt, le, pattern, max_length …)."""
    return Field(default, title=title, description=description, **constraints)


ParametersModel: TypeAlias = type[NodeParameters]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A call that must work: shown in the manual, run by the tests."""

    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one attempt may use unless the document says otherwise; Kubernetes quantities."""

    cpu: str = "1"
    memory: str = "512Mi"
    gpu: str | None = None
    timeout_seconds: int = 300


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """One declaration, as everybody but the runner knows it."""

    type: str
    version: int
    family: str
    category: Category
    title: str
    effect: Effect
    pool: str
    isolation: Isolation
    extra: str | None
    inputs: Mapping[str, PortSpec]
    outputs: Mapping[str, PortSpec]
    secrets: tuple[str, ...]
    """Parameters that may hold a `{{ secrets.NAME }}` reference."""
    egress: tuple[str, ...]
    """Hosts the node may reach, whatever its configuration says."""
    egress_parameters: tuple[str, ...]
    """Parameters that hold a URL or host the node may reach."""
    code: Mapping[str, str]
    """Language by name of the parameter that holds code: what the scanner reads."""
    resources: Resources
    example: Example
    manual: str = ""
    """The docstring of the module it stands in."""
    parameters: ParametersModel = NodeParameters
    handler: str = ""
    """`module:function`, imported by the runner alone."""
    finder: str | None = None
    """`module:function` that answers whether the effect under a key happened (RECONCILABLE)."""
    parameter_migration: str | None = None
    """`module:function` from the configuration of the major before to this one's."""
    container: bool = False
    inner: tuple[str, ...] = ()
    """Parameters of a container that are read after each iteration, inside it."""
    icon: str | None = None
    deprecated: bool = False
    asynchronous: bool = False
    parks: bool = False
    """Its steps may outlast their attempts: they wait, or open a map."""

    @property
    def key(self) -> tuple[str, int]:
        """What the catalogue files it under."""
        return self.type, self.version

    @property
    def dynamic_input(self) -> PortSpec | None:
        """The template of input ports that the document itself names."""
        return _dynamic(self.inputs)

    @property
    def dynamic_output(self) -> PortSpec | None:
        """The template of output ports that the document itself names."""
        return _dynamic(self.outputs)

    def configuration_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of `configuration`."""
        return dict(_schema_of(self.parameters))


Handler = TypeVar("Handler", bound=Callable[..., Any])
_DECLARED = "__node_type__"


def node(  # noqa: PLR0913 - the whole declaration in one call, all by keyword
    type: str,
    *,
    version: int,
    title: str,
    effect: Effect,
    example: Example,
    inputs: PortDeclaration = MappingProxyType({}),
    outputs: PortDeclaration = MappingProxyType({}),
    family: str | None = None,
    category: Category | None = None,
    pool: str | None = None,
    isolation: Isolation = Isolation.INLINE,
    extra: str | None = None,
    secrets: tuple[str, ...] = (),
    egress: tuple[str, ...] = (),
    egress_parameters: tuple[str, ...] = (),
    code: Mapping[str, str] = MappingProxyType({}),
    resources: Resources = Resources(),
    find: Callable[..., Any] | None = None,
    migrate: Callable[..., Any] | None = None,
    container: bool = False,
    inner: tuple[str, ...] = (),
    icon: str | None = None,
    deprecated: bool = False,
) -> Callable[[Handler], Handler]:
    """Declare the decorated function `(parameters, inputs, context) -> outputs` as a node type.

    The function stays what it is; `declared_in(module)` finds the `NodeType`. Raises ValueError,
    at import, for a declaration that contradicts itself.
    """
    stated = NodeType(
        type=type,
        version=version,
        family=family or type.partition(".")[0],
        category=category or _CATEGORY_OF_FAMILY.get(type.partition(".")[0], Category.INTEGRATION),
        title=title,
        effect=effect,
        pool=pool or ("sandbox" if isolation is Isolation.SANDBOX else "cpu"),
        isolation=isolation,
        extra=extra,
        inputs=_ports(inputs),
        outputs=_ports(outputs),
        secrets=secrets,
        egress=egress,
        egress_parameters=egress_parameters,
        code=MappingProxyType(dict(code)),
        resources=resources,
        example=example,
        finder=_path_of(find) if find else None,
        parameter_migration=_path_of(migrate) if migrate else None,
        container=container,
        inner=inner,
        icon=icon,
        deprecated=deprecated,
    )
    return lambda function: _declare(function, stated)


def _declare(function: Handler, stated: NodeType) -> Handler:
    """Complete what the call stated by what the function itself says."""
    declared = dataclasses.replace(
        stated,
        manual=inspect.cleandoc(sys.modules[function.__module__].__doc__ or ""),
        parameters=_parameters_model(function),
        handler=_path_of(function),
        asynchronous=inspect.iscoroutinefunction(function),
        parks=outlasts(get_type_hints(function).get("return")),
    )
    _check(declared)
    setattr(function, _DECLARED, declared)
    return function


def node_type_of(function: Callable[..., Any]) -> NodeType:
    """The declaration a function carries; raises AttributeError when it carries none."""
    return cast(NodeType, getattr(function, _DECLARED))


def declared_in(module: ModuleType) -> tuple[NodeType, ...]:
    """Every node type declared in a module (not those it merely imported), by type."""
    found = (getattr(member, _DECLARED, None) for member in vars(module).values())
    types = (one for one in found if isinstance(one, NodeType))
    own = (one for one in types if one.handler.partition(":")[0] == module.__name__)
    return tuple(sorted(own, key=lambda one: one.key))


def secret_name(reference: str) -> str:
    """NAME of `{{ secrets.NAME }}`; a plain name is returned as it is."""
    match = SECRET_PATTERN.fullmatch(reference.strip())
    return match.group(1) if match else reference


@cache
def _schema_of(parameters: type[NodeParameters]) -> dict[str, Any]:
    return parameters.model_json_schema(mode="validation")


def _dynamic(ports: Mapping[str, PortSpec]) -> PortSpec | None:
    return next((port for port in ports.values() if port.dynamic), None)


def _ports(declared: PortDeclaration) -> Mapping[str, PortSpec]:
    return MappingProxyType(
        {
            name: port if isinstance(port, PortSpec) else PortSpec(type=port)
            for name, port in declared.items()
        }
    )


def _path_of(function: Callable[..., Any]) -> str:
    if function.__qualname__ != function.__name__:
        raise ValueError(f"{function.__qualname__}: a node's functions stand at module level.")
    return f"{function.__module__}:{function.__name__}"


def _parameters_model(function: Callable[..., Any]) -> type[NodeParameters]:
    names = list(inspect.signature(function).parameters)
    if len(names) != 3:
        raise ValueError(f"{function.__name__} takes (parameters, inputs, context), not {names}.")
    model = get_type_hints(function).get(names[0])
    if not (inspect.isclass(model) and issubclass(model, NodeParameters)):
        raise ValueError(
            f"{function.__name__}: annotate {names[0]} with a NodeParameters subclass."
        )
    return model


def _check(declared: NodeType) -> None:
    problems = [*_problems_of_name(declared), *_problems_of_ports(declared)]
    configured = (port.configured_by for port in declared.inputs.values() if port.configured_by)
    named = (*declared.secrets, *declared.egress_parameters, *declared.code, *declared.inner)
    problems += [
        f"it names a parameter {name!r} that {declared.parameters.__name__} lacks"
        for name in (*named, *configured)
        if name not in declared.parameters.model_fields
    ]
    if (declared.effect is Effect.RECONCILABLE) != (declared.finder is not None):
        problems.append("find= belongs to RECONCILABLE, and RECONCILABLE to find=")
    if problems:
        raise ValueError(f"{declared.type}: {'; '.join(problems)}.")


def _problems_of_name(declared: NodeType) -> Iterator[str]:
    if not TYPE_PATTERN.fullmatch(declared.type):
        yield "its type must read family.name in lower case"
    if declared.version < 1:
        yield "its version starts at 1"
    if not declared.manual:
        yield "its module needs a docstring: that is the manual"


def _problems_of_ports(declared: NodeType) -> Iterator[str]:
    if ERROR_PORT in declared.outputs:
        yield "the output port 'error' is every node's already"
    for ports in (declared.inputs, declared.outputs):
        for name in ports:
            if not PORT_PATTERN.fullmatch(name):
                yield f"port {name!r} must start with a lower-case letter, then letters, digits, _"
            if keyword.iskeyword(name):
                yield f"port {name!r} is a word of the expression language, which could not name it"
        if sum(port.dynamic for port in ports.values()) > 1:
            yield "at most one dynamic port per side"
