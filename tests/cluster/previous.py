"""The release before this one, for tests of upgrades: its chart, and its processes from its own code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.locks import ROOT

VARIABLE = "RISE_TEST_PREVIOUS"


@dataclass(frozen=True)
class Previous:
    """`name` is a commit's or a tag's; where there is none the tree is this very one."""

    name: str
    tree: Path

    @property
    def chart(self) -> Path:
        return self.tree / "charts" / "rise"

    @property
    def environment(self) -> Mapping[str, str]:
        """Has Python take the packages of that tree; what they depend on is what is installed here."""
        if self.tree == ROOT:
            return {}
        sources = [self.tree / "operator" / "src", *sorted(self.tree.glob("services/*/src"))]
        return {"PYTHONPATH": os.pathsep.join(map(str, sources))}


def previous(folder: Path, environment: Mapping[str, str] = os.environ) -> Previous:
    """The commit that RISE_TEST_PREVIOUS names, or else the last tag before this commit, or else this very tree, which
    is an upgrade of processes and values alone."""
    name = environment.get(VARIABLE) or _git("describe", "--tags", "--abbrev=0", "HEAD^")
    if not name:
        return Previous("this tree", ROOT)
    packed = folder / "tree.tar"
    subprocess.run(["git", "archive", f"--output={packed}", name], cwd=ROOT, check=True, timeout=60)
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", str(packed), "-C", str(tree)], check=True, timeout=60)
    return Previous(name, tree)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
