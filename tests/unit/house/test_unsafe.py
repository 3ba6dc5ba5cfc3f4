"""What no line of the sources may do: run what it reads. Found in the syntax tree, whatever it is called by."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.locks import ROOT

SOURCES = [*sorted((ROOT / "operator/src").rglob("*.py")), *sorted((ROOT / "services").rglob("src/**/*.py"))]
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pty", "telnetlib"}
"""Reading with these is running what is read."""
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os": {"system", "popen"},
    "yaml": {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "asyncio": {"create_subprocess_shell"},
    "tempfile": {"mktemp"},
}


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and what is wrong there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from _of_import(node)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _of_call(node))


def _of_import(node: ast.ImportFrom) -> Iterator[tuple[int, str]]:
    module = (node.module or "").split(".")[0]
    if module in MODULES:
        yield node.lineno, module
    forbidden = CALLS.get(module, set())
    yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names if alias.name in forbidden)


def _of_call(node: ast.Call) -> Iterator[str]:
    function, given = node.func, {keyword.arg: keyword.value for keyword in node.keywords}
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    of = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    if isinstance(function, ast.Name) and name in BUILTINS:
        yield name
    if name in CALLS.get(of, set()):
        yield f"{of}.{name}"
    for flag in ("shell", "trust_remote_code", "allow_pickle"):
        if flag in given and not _is(given[flag], False):
            yield f"{name}({flag}=…)"
    if of == "torch" and name == "load":
        yield "torch.load"
    if of in ("np", "numpy") and name == "load" and not _is(given.get("allow_pickle"), False):
        yield "numpy.load without allow_pickle=False"
    if name == "from_pretrained" and not any(
        _is(given.get(flag), value) for flag, value in (("use_safetensors", True), ("local_files_only", True))
    ):
        yield "from_pretrained that may fetch, or read a pickle"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_is_run(path: Path) -> None:
    found = list(unsafe(ast.parse(path.read_text())))
    if "training" in path.parts:  # it reads what it wrote itself
        found = [each for each in found if not each[1].startswith("from_pretrained")]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "from os import system",
        "eval(x)",
        "exec(x)",
        "yaml.load(x, Loader=L)",
        "yaml.unsafe_load(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.run(x, shell=y)",
        "AutoModel.from_pretrained(x)",
        "AutoModel.from_pretrained(x, use_safetensors=True, trust_remote_code=True)",
        "torch.load(x)",
        "torch.load(x, weights_only=True)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
    ],
)
def test_what_is_looked_for_is_found(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "yaml.safe_load(x)",
        "json.loads(x)",
        "model.eval()",
        "re.compile(x)",
        "np.load(x, allow_pickle=False)",
        "subprocess.run(x, shell=False)",
    ],
)
def test_what_is_safe_is_left_alone(line: str) -> None:
    assert list(unsafe(ast.parse(line))) == []
