"""`rise bench NAME`: the benchmarks of a checkout, each a module with a `main(argv)` in its benchmarks/ folder.

They run in a process of their own: they may import torch, this one may not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from rise_contracts import errors

FOLDER = "benchmarks"
RUNNER = "import importlib, sys; sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))"

PASSED_ON: dict[str, object] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one; without it, the list.")] = None,
) -> None:
    """Measure. Options after the name go to the benchmark, for example: rise bench relay --json FILE."""
    checkout = find_checkout((Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents))
    known = names(checkout)
    if name is None or name in ("-h", "--help"):
        print("\n".join(known))
        return
    if name not in known:
        raise errors.UnknownName("benchmark", name, known, "bench")
    command = (sys.executable, "-c", RUNNER, f"{FOLDER}.{name}", *context.args)
    raise typer.Exit(subprocess.run(command, cwd=checkout, check=False).returncode)


def find_checkout(folders: tuple[Path, ...]) -> Path:
    """The first of `folders` that is a checkout with benchmarks. Raises NotFound."""
    for folder in folders:
        if (folder / FOLDER).is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise errors.NotFound("folder", FOLDER, "benchmarks come with the source: run this in a checkout of it")


def names(checkout: Path) -> list[str]:
    """The benchmarks there are: modules that say they have a `main`."""
    files = sorted((checkout / FOLDER).glob("*.py"))
    return [file.stem for file in files if not file.stem.startswith("_") and "\ndef main(" in file.read_text()]
