"""Temporary folders that are gone afterwards, also those of a command that was killed outright.

A folder's name holds its owner's process id and start time; whoever comes next removes those whose owner is dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rise_cli.local import state
from rise_contracts import errors

PREFIX = "rise-run-"
_NAME = re.compile(re.escape(PREFIX) + r"(?P<pid>\d+)-(?P<started>\d+)-")


@contextlib.contextmanager
def folder(base: Path | None = None) -> Iterator[Path]:
    """A new folder, for this user alone, removed with all it holds at the end."""
    root = base or Path(tempfile.gettempdir())
    sweep(root)
    pid = os.getpid()
    try:
        path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}-{int(state.start_time(pid))}-", dir=root))
    except OSError as error:
        raise (state.cannot_write(root, error) if base else _cannot_write(root, error)) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _cannot_write(root: Path, error: OSError) -> errors.DiskFull:
    return errors.DiskFull(str(root), f"{error.strerror or error} (temporary files; $TMPDIR sets another folder)")


def sweep(root: Path) -> list[Path]:
    """Remove the folders of owners that are dead; those that were removed."""
    removed = []
    for path in root.glob(f"{PREFIX}*"):
        match = _NAME.match(path.name)
        if match and not state.is_alive(int(match["pid"]), int(match["started"]) + 0.5):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed
