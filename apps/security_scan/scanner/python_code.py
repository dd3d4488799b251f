"""Examines Python in nodes and expressions: Bandit as a source, our own reading beside it."""

from __future__ import annotations

import ast
import io
import logging
import textwrap
from collections.abc import Iterator

from bandit.core.config import BanditConfig
from bandit.core.manager import BanditManager

from apps.security_scan.scanner.findings import Finding
from apps.security_scan.scanner.rules import RULES, of_bandit
from apps.security_scan.scanner.subject import Code

# Bandit logs each file it cannot name a module for; our files have no names.
logging.getLogger("bandit").setLevel(logging.CRITICAL)

MAX_CODE_BYTES = 64 * 1024
_FILE = "node.py"
_EXECUTORS = frozenset({"eval", "exec", "compile", "__import__"})
_DECODERS = frozenset(
    {"b64decode", "b32decode", "b16decode", "a85decode", "b85decode", "urlsafe_b64decode",
     "decompress", "unhexlify", "fromhex", "decodebytes", "decode"}
)  # fmt: skip
_INTERNALS = frozenset(
    {"__subclasses__", "__globals__", "__builtins__", "__code__", "__closure__", "__mro__",
     "__bases__", "__base__", "__loader__", "__getattribute__", "f_globals", "f_locals", "f_back",
     "f_builtins", "tb_frame", "tb_next", "gi_frame", "cr_frame", "ag_frame"}
)  # fmt: skip
_NATIVE = frozenset({"ctypes", "cffi", "_ctypes"})
_NETWORK = frozenset(
    {"socket", "ssl", "requests", "httpx", "aiohttp", "urllib3", "http", "urllib", "ftplib",
     "smtplib", "imaplib", "poplib", "telnetlib", "paramiko", "websocket", "websockets", "asyncssh"}
)  # fmt: skip
_HARMLESS_NETWORK = frozenset({"urllib.parse", "http.HTTPStatus", "http.cookies"})
_PROCESSES = frozenset({"subprocess", "pty", "multiprocessing", "pexpect", "sh"})


def examine(code: Code) -> Iterator[Finding]:
    """Findings of one piece of Python; code that cannot be parsed is itself a blocking finding."""
    source = textwrap.dedent(code.source)
    if len(source.encode()) > MAX_CODE_BYTES:
        yield _unexaminable(code, f"it is larger than {MAX_CODE_BYTES // 1024} KiB")
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield _unexaminable(code, "it is not valid Python 3.11 or nests too deeply")
        return
    yield from _bandit(code, source)
    yield from _tree(code, tree)


def refuse(code: Code) -> Iterator[Finding]:
    """The finding of code that a document has too much of."""
    yield _unexaminable(code, "the document holds more code than is examined")


def examine_expression(code: Code) -> Iterator[Finding]:
    """Findings of the inside of one `{{ … }}`; a malformed one is the validator's to refuse."""
    try:
        tree = ast.parse(code.source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _tree(code, tree)


def _bandit(code: Code, source: str) -> Iterator[Finding]:
    manager = BanditManager(BanditConfig(), "file", ignore_nosec=True)
    manager.files_list = [_FILE]
    # A private call: the public way reads files from disk. Bandit is pinned and a test holds this.
    manager._parse_file(_FILE, io.BytesIO(source.encode()), [_FILE])
    if manager.skipped:
        yield _unexaminable(code, "the scanner could not finish reading it")
    for issue in manager.results:
        rule = of_bandit(issue.test_id)
        if rule is not None:
            yield rule.found(
                f"Line {issue.lineno} (Bandit {issue.test_id}).",
                node_id=code.node_id,
                path=code.path,
                line=issue.lineno,
            )


def _tree(code: Code, tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        for rule_id, what in (*_judge_name(node), *_judge_imports(node)):
            line = getattr(node, "lineno", 1)
            yield RULES[rule_id].found(
                f"Line {line}: {what}.", node_id=code.node_id, path=code.path, line=line
            )


def _judge_name(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Call(func=func) if _name(func) in _EXECUTORS and _decodes(node):
            yield "code.obfuscated-execution", f"`{_name(func)}` of decoded text"
        case ast.Name(id=name, ctx=ast.Load()) if name in _EXECUTORS:
            yield "code.dynamic-execution", f"`{name}`"
        case ast.Attribute(value=ast.Name(id="builtins" | "__builtins__"), attr=name):
            yield "code.dynamic-execution", f"`builtins.{name}`"
        case ast.Attribute(attr=name) if name in _INTERNALS:
            yield "code.sandbox-escape", f"`{name}`"
        case ast.Constant(value=str() as text) if text in _INTERNALS | {"__import__"}:
            yield "code.sandbox-escape", f"the name `{text}`"
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb"):
            yield "code.environment-access", "`os.environ`"
        case _:
            pass


def _judge_imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _judge_import(alias.name)
        case ast.ImportFrom(module=str() as module, names=names):
            for alias in names:
                yield from _judge_import(f"{module}.{alias.name}")
        case _:
            pass


def _judge_import(dotted: str) -> Iterator[tuple[str, str]]:
    root = dotted.partition(".")[0]
    harmless = any(dotted == one or dotted.startswith(f"{one}.") for one in _HARMLESS_NETWORK)
    if root in _NATIVE:
        yield "code.native-access", f"import of `{root}`"
    elif root in _NETWORK and not harmless:
        yield "code.network-access", f"import of `{root}`"
    elif root in _PROCESSES:
        yield "code.process-import", f"import of `{root}`"
    elif dotted in {"os.environ", "os.getenv"}:
        yield "code.environment-access", f"import of `{dotted}`"
    elif root in {"builtins", "importlib", "imp", "runpy", "code"}:
        yield "code.dynamic-execution", f"import of `{root}`"


def _name(func: ast.expr) -> str:
    match func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="builtins"), attr=name):
            return name
        case _:
            return ""


def _decodes(call: ast.Call) -> bool:
    return any(
        isinstance(inner, ast.Attribute | ast.Name)
        and (inner.attr if isinstance(inner, ast.Attribute) else inner.id) in _DECODERS
        for argument in call.args
        for inner in ast.walk(argument)
    )


def _unexaminable(code: Code, why: str) -> Finding:
    return RULES["code.unexaminable"].found(
        f"The code was not examined: {why}.", node_id=code.node_id, path=code.path
    )
