"""Is this a PNG of that size? Read without a picture library, and with no more memory than such a picture takes.

Chunks as in the PNG specification, 3rd edition (W3C 2025), with its animations: https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from rise_contracts.errors import InvalidInput

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")
_CHANNELS: Final = {0: 1, 2: 3, 4: 2, 6: 4}
MOST_PIXELS: Final = 64 * 2**20
"""Of one frame: 8192 by 8192."""


def check(png: bytes, width: int, height: int, frames: int = 1) -> None:
    """Raise InvalidInput unless `png` is a whole PNG of 8-bit pixels of this size, with at most so many frames.

    Neighbouring frames that are alike may be stored as one, so there may be fewer.
    """
    chunks = list(_chunks(png))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != _HEADER.size:
        raise _bad("a PNG that begins with its header", "another beginning")
    got_width, got_height, depth, colour, *rest = _HEADER.unpack(chunks[0][1])
    if (got_width, got_height) != (width, height) or width * height > MOST_PIXELS:
        raise _bad(f"{width} by {height} pixels", f"{got_width} by {got_height}")
    if depth != 8 or colour not in _CHANNELS or rest != [0, 0, 0]:
        raise _bad("8 bits per channel, not interlaced", f"{depth} bits of colour type {colour}")
    found = list(_frames(chunks))
    if not 1 <= len(found) <= frames:
        raise _bad(f"1 to {frames} frames", len(found))
    for frame_width, frame_height, data in found:
        if frame_width > width or frame_height > height:
            raise _bad(f"frames of at most {width} by {height}", f"{frame_width} by {frame_height}")
        _check_pixels(data, frame_height * (1 + frame_width * _CHANNELS[colour]))


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, as its header says. Raises InvalidInput."""
    if not png.startswith(_SIGNATURE) or len(png) < 24:
        raise _bad("a PNG", "other bytes")
    width, height = struct.unpack_from(">II", png, 16)
    return width, height


def _chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of each chunk, up to the end and no further."""
    if not png.startswith(_SIGNATURE):
        raise _bad("a PNG", "other bytes")
    view, at = memoryview(png), len(_SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            raise _bad("whole chunks", "the end of the file")
        length = int.from_bytes(view[at : at + 4])
        kind, end = bytes(view[at + 4 : at + 8]), at + 12 + length
        if end > len(png) or zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise _bad("chunks with their checksums", "a damaged one")
        yield kind, view[at + 8 : end - 4]
        at = end
        if kind == b"IEND":
            break
    else:
        raise _bad("a PNG to its end", "no end")
    if at != len(png):
        raise _bad("nothing behind the picture", f"{len(png) - at} bytes")


def _frames(chunks: list[tuple[bytes, memoryview]]) -> Iterator[tuple[int, int, list[memoryview]]]:
    """Width, height and compressed data of each frame; a picture that does not move is one."""
    width, height, *_ = _HEADER.unpack(chunks[0][1])
    data: list[memoryview] = []
    for kind, content in chunks:
        if kind == b"fcTL":
            if len(content) != 26:
                raise _bad("frames with their control", "a damaged one")
            if data:
                yield width, height, data
            width, height, data = int.from_bytes(content[4:8]), int.from_bytes(content[8:12]), []
        elif kind == b"IDAT":
            data.append(content)
        elif kind == b"fdAT":
            data.append(content[4:])
    if data:
        yield width, height, data


def _check_pixels(data: list[memoryview], nbytes: int) -> None:
    """Whether the data unfolds to just `nbytes`; what would be more is not unfolded."""
    unfolding, left = zlib.decompressobj(), nbytes
    try:
        for part in data:
            left -= len(unfolding.decompress(part, max(1, left + 1)))
            if left < 0 or unfolding.unconsumed_tail:
                raise _bad(f"{nbytes} bytes of pixels", "more")
    except zlib.error as error:
        raise _bad("pixels that can be unfolded", str(error)) from error
    if left or not unfolding.eof:
        raise _bad(f"{nbytes} bytes of pixels", f"{nbytes - left}")


def _bad(wanted: str, got: object) -> InvalidInput:
    return InvalidInput("picture", wanted, got)
