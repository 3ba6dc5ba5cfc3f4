"""The shape of the tree: what pyproject.toml lists is what is there, files stay short, imports go one way."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import locks

ROOT = locks.ROOT
PACKAGES = sorted([*ROOT.glob("operator/src/rise_*"), *ROOT.glob("services/*/src/rise_*")])
NAMES = [package.name for package in PACKAGES]
MAX_LINES = 400

EXTRAS_OF = {
    "rise_contracts": ("plain",),
    "rise_runtime": ("plain",),
    "rise_operator": ("operator",),
    "rise_scheduler": ("scheduler",),
    "rise_stage": ("stage",),
    "rise_shapes": ("stage", "train"),
    "rise_cli": ("cli",),
}
"""The extras whose libraries a package may import, beside the plain dependencies of every process."""

DISTRIBUTION_OF = {
    "nats": "nats-py",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "prometheus_client": "prometheus-client",
    "huggingface_hub": "huggingface-hub",
    "pydantic_core": "pydantic",
}
"""Where the name one imports is not the name one installs."""


def python_files() -> Iterator[Path]:
    for folder in ("operator", "services", "tests", "benchmarks", "examples"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def configuration() -> Any:
    """The [tool] tables, nested as deep as each tool likes."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_the_wheel_lists_every_package_that_is_there() -> None:
    wheel = configuration()["hatch"]["build"]["targets"]["wheel"]
    assert sorted(wheel["packages"]) == [package.relative_to(ROOT).as_posix() for package in PACKAGES]


def test_the_linter_of_imports_and_the_type_checker_know_every_package() -> None:
    tools = configuration()
    assert set(tools["importlinter"]["root_packages"]) == set(NAMES)
    sources = {f"$MYPY_CONFIG_FILE_DIR/{package.parent.relative_to(ROOT).as_posix()}" for package in PACKAGES}
    assert set(tools["mypy"]["mypy_path"]) == sources | {"$MYPY_CONFIG_FILE_DIR"}


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_a_package_is_typed_and_says_what_belongs_in_it(package: Path) -> None:
    assert (package / "py.typed").exists()
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_every_module_says_why_it_exists(package: Path) -> None:
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    silent = [path.name for path in modules if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_every_script_loads() -> None:
    scripts = [
        entry
        for entry in importlib.metadata.distribution("rise-relay").entry_points
        if entry.group == "console_scripts"
    ]
    assert [entry.name for entry in scripts] == ["rise"]
    for entry in scripts:
        assert callable(entry.load())


def test_a_folder_in_services_with_a_dockerfile_is_a_process() -> None:
    for dockerfile in (ROOT / "operator" / "Dockerfile", *ROOT.glob("services/*/Dockerfile")):
        (package,) = (dockerfile.parent / "src").glob("rise_*")
        assert (package / "__main__.py").exists(), f"{package.name} has an image and no way to start"


def test_an_image_is_built_from_its_base_and_no_other() -> None:
    # By a line `# syntax=` BuildKit fetches a frontend from Docker Hub, also where BASE_IMAGE names a base at hand.
    for dockerfile in (ROOT / "operator" / "Dockerfile", *ROOT.glob("services/*/Dockerfile")):
        text = dockerfile.read_text()
        fetched = re.findall(r"^# *syntax=.*|^FROM \S+|--from=\S+", text, re.MULTILINE)
        assert set(fetched) == {"FROM ${BASE_IMAGE}", "--from=build"}, dockerfile


def test_the_standard_library_keeps_its_operator() -> None:
    # With operator/__init__.py here, `import collections` from this folder takes it for the standard library's.
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_file_is_longer_than_a_person_reads_in_one_sitting() -> None:
    counts = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: lines for name, lines in counts.items() if lines > MAX_LINES} == {}


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_what_a_package_imports_is_what_its_extra_asks_for(package: Path) -> None:
    table = locks.project()
    allowed = {name for extra in EXTRAS_OF[package.name] for name in locks.declared(table, extra)}
    foreign = {name for path in package.rglob("*.py") for name in imported(path)}
    foreign -= set(sys.stdlib_module_names) | set(NAMES)
    assert {DISTRIBUTION_OF.get(name, name) for name in foreign} <= allowed, "declare it in pyproject.toml"


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
