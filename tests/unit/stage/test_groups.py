"""Limits of control groups, as containers of both versions see them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rise_stage.engine.groups import left_by_groups

UNLIMITED = {"v1": "9223372036854771712", "v2": "max"}
NAMES = {
    "v1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "v2": ("memory.max", "memory.current", "inactive_file"),
}


class Machine:
    """The files that a process finds: `at` is where the hierarchy is mounted, `root` what of it is."""

    def __init__(self, folder: Path, version: str) -> None:
        self.version, self.process = version, folder / "proc"
        self.at = folder / "sys/fs/cgroup" / ("memory" if version == "v1" else "")
        self.at.mkdir(parents=True)
        self.process.mkdir()

    def process_in(self, path: str, root: str = "/") -> None:
        others = [f"31 23 0:28 / {self.at.parent} rw,relatime - tmpfs tmpfs rw,mode=755"]
        others += [f"33 31 0:30 {root} {self.at.parent}/cpu rw - cgroup cgroup rw,cpu,cpuacct"]
        mounted = "cgroup cgroup rw,memory" if self.version == "v1" else "cgroup2 cgroup2 rw,nsdelegate"
        mount = f"35 31 0:32 {root} {self.at} rw,relatime shared:9 - {mounted}"
        (self.process / "mountinfo").write_text("\n".join([*others, mount, ""]))
        own = f"4:memory:{path}\n1:cpu,cpuacct:/elsewhere\n0::/" if self.version == "v1" else f"0::{path}"
        (self.process / "cgroup").write_text(f"{own}\n")

    def group(self, path: str, limit: int | str, used: int, droppable: int | None = None) -> None:
        folder = self.at / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        names = NAMES[self.version]
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text(f"{used}\n")
        if droppable is not None:
            (folder / "memory.stat").write_text(f"anon 1\nfile 2\n{names[2]} {droppable}\n")

    @property
    def left(self) -> int:
        return left_by_groups(self.process)


@pytest.fixture(params=["v1", "v2"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, str(request.param))


@pytest.mark.parametrize(("limit", "left"), [(1000, 700), (200, 0), (300, 0)])
def test_a_container_with_a_namespace_of_its_own_sees_its_group_as_the_top(
    machine: Machine, limit: int, left: int
) -> None:
    machine.process_in("/")
    machine.group("/", limit, 300)
    assert machine.left == left


def test_a_container_without_one_sees_its_group_mounted_there(machine: Machine) -> None:
    """As Docker mounts version 1: the path is the machine's, and what is mounted is the container's part of it."""
    machine.process_in("/kubepods/pod7/stage", root="/kubepods/pod7/stage")
    machine.group("/", 1000, 300)
    assert machine.left == 700


def test_a_process_in_a_part_of_a_container_has_the_limits_of_both(machine: Machine) -> None:
    machine.process_in("/kubepods/pod7/stage/own", root="/kubepods/pod7/stage")
    machine.group("/", 1000, 300)
    machine.group("/own", 600, 250)
    assert machine.left == 350


@pytest.mark.parametrize(("pod", "node", "left"), [(900, 2000, 500), (3000, 2000, 1100), (3000, 9000, 2600)])
def test_of_nested_groups_the_tightest_counts(machine: Machine, pod: int, node: int, left: int) -> None:
    machine.process_in("/kubepods/pod7/stage")
    machine.group("/kubepods/pod7/stage", UNLIMITED[machine.version], 300)
    machine.group("/kubepods/pod7", pod, 400)
    machine.group("/kubepods", node, 900)
    assert machine.left == left


def test_files_that_can_be_read_again_are_free(machine: Machine) -> None:
    machine.process_in("/")
    machine.group("/", 1000, 900, droppable=600)
    assert machine.left == 700
    machine.group("/", 1000, 900, droppable=950)
    assert machine.left == 1000, "the two numbers are not of one moment"


def test_no_limit_is_more_than_any_machine_has(machine: Machine) -> None:
    machine.process_in("/")
    machine.group("/", UNLIMITED[machine.version], 300)
    assert machine.left > 2**60


def test_a_group_that_cannot_be_seen_leaves_what_is_around_it(machine: Machine) -> None:
    """A namespace that was entered from outside shows paths that climb."""
    machine.group("/", 1000, 300)
    machine.process_in("/../../system.slice")
    assert machine.left == 700
    machine.process_in("/kubepods/pod7", root="/another")
    assert machine.left == 700


def test_both_versions_at_once_count_where_the_controller_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "v1")
    machine.process_in("/pod7")
    machine.group("/pod7", 1000, 300)
    unified = tmp_path / "unified"
    unified.mkdir()
    mounts = machine.process / "mountinfo"
    mounts.write_text(f"{mounts.read_text()}36 31 0:38 / {unified} rw - cgroup2 cgroup2 rw\n")
    assert machine.left == 700


def test_where_there_are_none_there_is_no_limit(tmp_path: Path) -> None:
    assert left_by_groups(tmp_path / "none") == sys.maxsize


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has control groups")
def test_this_process_has_some_left() -> None:
    assert left_by_groups() > 0
