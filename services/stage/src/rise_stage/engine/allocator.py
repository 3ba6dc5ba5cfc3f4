"""What the C library does with freed memory.

Left alone, glibc gives large blocks back at once, and each new one costs its page faults: packing a latent of 4 MiB
took 5 ms that way, and a quarter of a millisecond with its pages kept. Of smaller ones it keeps a good part for itself.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""Parameters of mallopt(3)."""
REUSED_BYTES = 32 * 2**20
"""Blocks up to this size are reused: the most that glibc takes."""
KEPT_BYTES = 512 * 2**20


def keep_memory() -> bool:
    """Tell glibc's malloc to keep what was freed; whether there is one that listens."""
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, REUSED_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def give_back() -> None:
    """Let the C library return what was freed to the system, where it can be told to."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """One of glibc's own functions, or None where there is another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
