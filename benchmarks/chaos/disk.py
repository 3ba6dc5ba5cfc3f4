"""A disk that can be filled: a small file system in memory, for the store of a nats-server."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

SIZE: Final = 1 * 2**30
"""Bytes: JetStream takes three quarters of what is free for its own, and our streams set half of this aside."""
_PIECE: Final = 4 * 2**20
_BALLAST: Final = "ballast"


@cache
def lacks() -> str:
    """What is missing for it on this machine; empty where nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root on Linux, for a disk to fill"
    probe = subprocess.run(("unshare", "--mount", "true"), capture_output=True, check=False)
    return "" if probe.returncode == 0 else "the right to mount a disk to fill"


@contextlib.contextmanager
def small(folder: Path) -> Iterator[Path]:
    """`folder` as a file system of its own for the length of the block. Raises CalledProcessError."""
    folder.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "rise-chaos", str(folder)), check=True)
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(disk: Path) -> None:
    """Leave no byte on it."""
    piece = b"\0" * _PIECE
    with (disk / _BALLAST).open("ab", buffering=0) as ballast:
        while piece:
            try:
                ballast.write(piece)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece = piece[: len(piece) // 2]


def empty(disk: Path) -> None:
    """Give back all that was taken."""
    (disk / _BALLAST).unlink(missing_ok=True)
