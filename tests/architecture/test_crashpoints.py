"""Every crash point has one name, is listed, and is armed by nothing in the product."""

from __future__ import annotations

import ast
from collections import Counter

from apps.executions.crashpoints import NAMES
from tests.architecture import source


def test_the_list_names_every_place_once() -> None:
    called: Counter[str] = Counter()
    for path in source.modules("apps"):
        for node in ast.walk(source.tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "crashpoint":
                (name,) = node.args
                assert isinstance(name, ast.Constant), "a crash point's name is written out"
                called[str(name.value)] += 1
    assert called == Counter(NAMES)


def test_only_tests_arm_them() -> None:
    armed = [
        source.name(path)
        for path in source.modules("apps", "config", "bench")
        if path.stem != "crashpoints" and "crashpoints.arm" in path.read_text()
    ]
    assert armed == []
