"""Files under `out/`: whole or not at all, never over another, and never lost to a folder that cannot be written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from rise_contracts import errors


def prepare(folder: Path) -> Path:
    """Make the folder and try to write in it, before anything is computed. Raises DiskFull."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rise-probe-") as probe:
            probe.write(bytes(64 * 1024))
            probe.flush()
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def write(path: Path, data: bytes) -> Path:
    """Write `data` at once or not at all, and say where it lies: a taken name gets a number."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            temporary.chmod(0o666 & ~_umask())
            return _move_to_free_name(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def rescue(data: bytes, name: str) -> Path | None:
    """Put a finished picture into the temporary folder, where its own could not take it; None where that fails too."""
    try:
        return write(Path(tempfile.gettempdir()) / name, data)
    except errors.DiskFull:
        return None


def cannot_write(path: Path, error: OSError) -> errors.DiskFull:
    why = "a file is there already" if isinstance(error, FileExistsError) else error.strerror or str(error)
    return errors.DiskFull(str(path), why)


def _move_to_free_name(temporary: Path, path: Path) -> Path:
    for number in range(1, 1000):
        target = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            os.link(temporary, target)
        except FileExistsError:
            continue
        except OSError:  # no hard links on this file system
            if target.exists():
                continue
            temporary.replace(target)
        return target
    raise FileExistsError(17, "a thousand files of this name are there already")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
