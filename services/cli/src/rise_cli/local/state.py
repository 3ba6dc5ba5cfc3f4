"""Where a platform that stays up is written down, so that later commands find it.

One JSON file, readable by this user alone, in the user's state folder ($RISE_STATE_DIR sets another). It names the
supervisor by process id *and* start time: an id alone may since belong to a stranger.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rise_contracts import errors

FILE = "platform.json"
VARIABLE = "RISE_STATE_DIR"


class NoPlatform(errors.RiseError):
    exit_code = 7

    def __init__(self) -> None:
        super().__init__("no platform is up; start one with: rise up")


class PlatformState(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    pid: int
    started: float
    """The supervisor's start time as the system counts it."""
    url: str
    token: str
    folder: Path
    families: tuple[str, ...] = ()
    ready_seconds: float = 0.0


def folder() -> Path:
    """The state folder. It is made, for this user alone, where it is missing."""
    import platformdirs

    path = Path(os.environ.get(VARIABLE) or platformdirs.user_state_path("rise"))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: Path, error: OSError) -> errors.DiskFull:
    return errors.DiskFull(str(path), f"{error.strerror or error} (the state folder; ${VARIABLE} sets another)")


def write(state: PlatformState, where: Path) -> None:
    """Write at once or not at all: a reader never sees half a file."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=where, prefix=FILE)  # mkstemp makes it 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(state.model_dump_json())
        Path(temporary).replace(where / FILE)
    except OSError as error:
        raise cannot_write(where, error) from error


def read(where: Path) -> PlatformState | None:
    """What is written down, whether or not it still runs; None where nothing is, or nothing readable."""
    try:
        return PlatformState.model_validate_json((where / FILE).read_text())
    except (OSError, ValidationError):
        return None


def running(where: Path | None = None) -> PlatformState | None:
    """The platform that is up. The note of one that died is removed."""
    try:
        place = where or folder()
    except errors.DiskFull:
        return None  # no folder, so nothing was ever written there
    state = read(place)
    if state is None:
        return None
    if is_alive(state.pid, state.started):
        return state
    remove(place, state)
    return None


def remove(where: Path, state: PlatformState) -> None:
    """Remove the note, unless another platform has written its own since."""
    if read(where) == state:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            (where / FILE).unlink()


def is_alive(pid: int, started: float) -> bool:
    """Whether this very process, not another with its id, is running."""
    import psutil

    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def start_time(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).create_time())
