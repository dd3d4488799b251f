"""The severity table: what each rule of ours means, and which of them a Bandit test maps to."""

from __future__ import annotations

from dataclasses import dataclass

from apps.security_scan.scanner.findings import Finding, Severity


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing the scan looks for, judged by us whatever its source says of it."""

    id: str
    title: str
    severity: Severity
    remediation: str
    cwe: str | None = None

    def found(
        self,
        detail: str,
        *,
        node_id: str | None,
        path: str,
        line: int | None = None,
    ) -> Finding:
        """A finding of this rule; `detail` never holds the text of a secret."""
        return Finding(
            rule=self.id,
            title=self.title,
            severity=self.severity,
            detail=detail,
            remediation=self.remediation,
            cwe=self.cwe,
            node_id=node_id,
            path=path,
            line=line,
        )


_LOW, _MEDIUM, _HIGH, _CRITICAL = Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL


def _rule(identity: str, title: str, severity: Severity, cwe: str | None, remediation: str) -> Rule:
    return Rule(id=identity, title=title, severity=severity, cwe=cwe, remediation=remediation)


_ALL = (
    # ── code ──
    _rule(
        "code.dynamic-execution",
        "Runs text as code",
        _HIGH,
        "CWE-95",
        "Replace `eval`, `exec` and `compile` by an expression, `json.loads` or a table of "
        "functions.",
    ),
    _rule(
        "code.obfuscated-execution",
        "Runs decoded text as code",
        _CRITICAL,
        "CWE-506",
        "Write the code out in the node; code that hides itself is never published.",
    ),
    _rule(
        "code.sandbox-escape",
        "Reaches into the interpreter",
        _HIGH,
        "CWE-693",
        "Remove the access to interpreter internals; a node needs only its inputs and its context.",
    ),
    _rule(
        "code.unsafe-deserialization",
        "Loads objects from untrusted bytes",
        _HIGH,
        "CWE-502",
        "Exchange data as JSON, Parquet or ONNX instead of pickle or marshal.",
    ),
    _rule(
        "code.shell-command",
        "Runs a shell command",
        _HIGH,
        "CWE-78",
        "Use a node type made for the task; workflow code has no shell.",
    ),
    _rule(
        "code.process-start",
        "Starts another process",
        _HIGH,
        "CWE-78",
        "Use a node type made for the task; workflow code starts no processes.",
    ),
    _rule(
        "code.process-import",
        "Imports a module that starts processes",
        _MEDIUM,
        "CWE-78",
        "Remove the import; workflow code starts no processes.",
    ),
    _rule(
        "code.native-access",
        "Calls native code",
        _HIGH,
        "CWE-693",
        "Remove `ctypes` and `cffi`; native code leaves the sandbox's language.",
    ),
    _rule(
        "code.environment-access",
        "Reads the worker's environment",
        _MEDIUM,
        "CWE-526",
        "Use `{{ variables.NAME }}` or `{{ secrets.NAME }}` instead of environment variables.",
    ),
    _rule(
        "code.network-access",
        "Opens its own network connection",
        _MEDIUM,
        "CWE-918",
        "Call other systems through an HTTP request node, whose hosts are shown before install.",
    ),
    _rule(
        "code.file-access",
        "Touches files of the worker",
        _MEDIUM,
        "CWE-552",
        "Read and write through ports and artifacts.",
    ),
    _rule(
        "code.sql-injection",
        "Builds SQL from text",
        _MEDIUM,
        "CWE-89",
        "Pass values as parameters of the SQL node instead of joining them into the statement.",
    ),
    _rule(
        "code.transport-security",
        "Turns off transport security",
        _MEDIUM,
        "CWE-295",
        "Keep certificate and host-key checks on.",
    ),
    _rule(
        "code.weak-cryptography",
        "Uses weak cryptography",
        _LOW,
        "CWE-327",
        "Use SHA-256 or better, and AES-GCM for encryption.",
    ),
    _rule(
        "code.unsafe-parser",
        "Parses with an unsafe parser",
        _MEDIUM,
        "CWE-20",
        "Use the safe loader of the format, or a node type that reads it.",
    ),
    _rule(
        "code.unpinned-model",
        "Loads a model without a pinned revision",
        _MEDIUM,
        "CWE-494",
        "Name the exact revision or digest of the model.",
    ),
    _rule(
        "code.hidden-text",
        "Hides text with direction marks",
        _HIGH,
        "CWE-1007",
        "Remove the bidirectional control characters; what is shown must be what runs.",
    ),
    _rule(
        "code.hard-coded-credential",
        "A credential may be written in code",
        _MEDIUM,
        "CWE-798",
        "Store it in the vault and refer to it as `{{ secrets.NAME }}`.",
    ),
    _rule(
        "code.unexaminable",
        "Code cannot be examined",
        _HIGH,
        "CWE-1059",
        "Write the code in Python 3.11 syntax and split it into smaller nodes, so that it "
        "can be examined.",
    ),
    _rule(
        "code.quality",
        "Code that deserves a second look",
        _LOW,
        None,
        "Read the line once more; it is not a reason to refuse.",
    ),
    _rule(
        "sql.external-access",
        "SQL reaches outside its inputs",
        _MEDIUM,
        "CWE-610",
        "Read files and addresses with an input node and pass the table on by a port.",
    ),
    # ── secrets ──
    _rule(
        "secret.token",
        "A secret is written in the document",
        _CRITICAL,
        "CWE-798",
        "Revoke it now, store a new one in the vault and refer to it as `{{ secrets.NAME }}`.",
    ),
    _rule(
        "secret.named-field",
        "A field for a secret holds plain text",
        _HIGH,
        "CWE-798",
        "Store the value in the vault and refer to it as `{{ secrets.NAME }}`.",
    ),
    _rule(
        "secret.high-entropy",
        "Text that looks like a secret",
        _MEDIUM,
        "CWE-798",
        "If it is a secret, revoke it and use the vault; if it is not, say so to the reviewer.",
    ),
    _rule(
        "secret.plain-parameter",
        "A parameter for a secret is not marked secret",
        _MEDIUM,
        "CWE-312",
        "Set `secret: true` on the parameter, or ask for a vault secret instead.",
    ),
    _rule(
        "secret.parameter-default",
        "A secret parameter carries a default",
        _HIGH,
        "CWE-798",
        "Remove the default; whoever installs the workflow brings their own secret.",
    ),
    # ── structure ──
    _rule(
        "egress.undeclared-host",
        "Calls a host that is not declared",
        _MEDIUM,
        "CWE-918",
        "Use a node type that declares the host, or make the address one of its declared "
        "parameters.",
    ),
    _rule(
        "egress.internal-address",
        "Calls an internal address",
        _HIGH,
        "CWE-918",
        "Use a public host name; addresses of the platform's own network are always refused.",
    ),
    _rule(
        "egress.data-chosen-host",
        "Data decides which host is called",
        _MEDIUM,
        "CWE-918",
        "Write the host in the node or take it from a parameter, so that it can be read "
        "before install.",
    ),
    _rule(
        "flow.secret-to-egress",
        "A secret can leave the workflow",
        _HIGH,
        "CWE-200",
        "Use the secret only in the node that needs it, with a fixed host, and not in data "
        "passed on.",
    ),
    _rule(
        "flow.secret-in-address",
        "A secret is part of an address",
        _MEDIUM,
        "CWE-598",
        "Send the secret in a header; addresses end up in the logs of every server between.",
    ),
)
RULES = {rule.id: rule for rule in _ALL}

_BANDIT = {
    "code.dynamic-execution": ("B102", "B307"),
    "code.unsafe-deserialization": ("B301", "B302", "B614"),
    "code.shell-command": ("B601", "B602", "B604", "B605", "B609"),
    "code.process-start": ("B603", "B606", "B607"),
    "code.process-import": ("B404",),
    "code.network-access": ("B310", "B312", "B321", "B401", "B402", "B411", "B412", "B415"),
    "code.sql-injection": ("B608", "B610", "B611"),
    "code.transport-security": ("B323", "B501", "B502", "B503", "B504", "B507", "B508", "B509"),
    "code.weak-cryptography": ("B303", "B304", "B305", "B324", "B413", "B505"),
    "code.unsafe-parser": ("B202", "B313", "B314", "B315", "B316", "B317", "B318", "B319", "B506"),
    "code.file-access": ("B103", "B108", "B306"),
    "code.unpinned-model": ("B615",),
    "code.hidden-text": ("B613",),
    "code.hard-coded-credential": ("B105", "B106", "B107"),
}
_OF_BANDIT = {test: RULES[rule] for rule, tests in _BANDIT.items() for test in tests}
# Style that says nothing of a workflow's safety, and imports whose use is judged by itself.
BANDIT_IGNORED = frozenset({"B101", "B110", "B112", "B403", "B405", "B406", "B407", "B408", "B409"})


def of_bandit(test_id: str) -> Rule | None:
    """Our rule for a Bandit test; None when we take no notice of it."""
    if test_id in BANDIT_IGNORED:
        return None
    return _OF_BANDIT.get(test_id, RULES["code.quality"])
