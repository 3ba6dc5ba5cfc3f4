"""The smallest pictures: bytes as a grey PNG."""

from __future__ import annotations

import struct
import zlib

WIDTH = 32


def picture(state: bytes) -> bytes:
    """The state as a grey PNG, a row for each 32 bytes: what a device makes is looked at, and must be a picture."""
    rows = [state[at : at + WIDTH].ljust(WIDTH, b"\0") for at in range(0, len(state), WIDTH)]
    header = struct.pack(">IIBBBBB", WIDTH, len(rows), 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, (b"IHDR", b"IDAT", b"IEND"), (header, pixels, b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
