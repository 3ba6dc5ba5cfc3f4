"""Saying what ended this process where whoever started it looks (`rise_contracts.termination`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from rise_contracts import termination
from rise_contracts.errors import RiseError


def leave_word(error: RiseError, environment: Mapping[str, str] = os.environ) -> None:
    """Into the file that the environment names, if it names one that can be written."""
    path = environment.get(termination.VARIABLE)
    if path:
        with contextlib.suppress(OSError):
            Path(path).write_text(termination.encode(error))
