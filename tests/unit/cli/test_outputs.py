"""Files under out/, on folders that are missing, taken, read-only or full."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from pathlib import Path

import pytest

from rise_cli import outputs
from rise_contracts import errors


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    folder = outputs.prepare(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    paths = [outputs.write(tmp_path / "x.png", bytes([number])) for number in range(3)]
    assert [path.name for path in paths] == ["x.png", "x-2.png", "x-3.png"]
    assert [path.read_bytes() for path in paths] == [b"\0", b"\1", b"\2"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(errors.DiskFull, match="choose another folder"):
        outputs.prepare(tmp_path / "out")


def test_a_folder_nobody_may_write_in_is_told() -> None:
    with pytest.raises(errors.DiskFull, match=r"cannot write /proc/"):
        outputs.prepare(Path("/proc/rise"))


def write_beyond_the_limit(folder: str, answers: multiprocessing.Queue[str]) -> None:
    # The kernel refuses the write as it would on a full disk, in this process alone.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    try:
        outputs.write(Path(folder) / "x.png", bytes(4096))
    except errors.DiskFull as error:
        answers.put(str(error))


def test_a_disk_without_room_leaves_no_half_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=write_beyond_the_limit, args=(str(tmp_path), answers))
    process.start()
    try:
        assert "free some space" in answers.get(timeout=60)
    finally:
        process.join(60)
    assert list(tmp_path.iterdir()) == []
