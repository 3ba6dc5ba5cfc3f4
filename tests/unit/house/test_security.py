"""docs/security.md promises nothing that no test holds: each line names its tests, and each of these exists."""

from __future__ import annotations

import ast
import re

from tests.locks import ROOT

DOCUMENT = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(test_\w+)`")


def existing() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        found |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}
    return {name for name in found if name.startswith("test_")}


def test_every_test_that_is_named_exists() -> None:
    named = set(NAMED.findall(DOCUMENT.read_text()))
    assert len(named) > 40
    assert named - existing() == set()


def test_every_line_of_a_table_of_promises_names_a_test() -> None:
    promises = False
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("|"):
            promises = False
        elif line.endswith("| held by |"):
            promises = True
        elif promises and not line.startswith("| ---"):
            assert NAMED.search(line.rsplit("|", 2)[1]), line
