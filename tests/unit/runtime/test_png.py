"""What is taken for a picture, and what is not: files of a picture library, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rise_contracts.errors import InvalidInput
from rise_runtime import png

WIDTH, HEIGHT = 24, 16


def a_file(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **how: object) -> bytes:
    buffer = io.BytesIO()
    noise = Image.effect_noise(size, 64).convert(mode)
    noise.save(buffer, "PNG", **how)
    return buffer.getvalue()


def animated(frames: int) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.effect_noise((WIDTH, HEIGHT), 64).convert("RGB") for _ in range(frames))
    first.save(buffer, "PNG", save_all=True, append_images=others, duration=60)
    return buffer.getvalue()


def made(header: bytes, pixels: bytes, behind: bytes = b"") -> bytes:
    """A file of these two chunks and their end."""
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body + behind


def header(width: int = WIDTH, height: int = HEIGHT, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)


GREY = b"\0" * (HEIGHT * (1 + WIDTH))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("level", [0, 4, 9])
def test_a_picture_of_the_library_is_one(mode: str, level: int) -> None:
    picture = a_file(mode, compress_level=level)
    png.check(picture, WIDTH, HEIGHT)
    assert png.size_of(picture) == (WIDTH, HEIGHT)


def test_a_large_picture_in_many_chunks_is_one() -> None:
    picture = a_file(size=(640, 512), compress_level=1)
    assert picture.count(b"IDAT") > 1
    png.check(picture, 640, 512)


@pytest.mark.parametrize("frames", [2, 5])
def test_an_animated_picture_may_have_as_many_frames_as_were_asked_for(frames: int) -> None:
    picture = animated(frames)
    png.check(picture, WIDTH, HEIGHT, frames)
    png.check(picture, WIDTH, HEIGHT, frames + 4)
    with pytest.raises(InvalidInput, match=f"1 to {frames - 1} frames"):
        png.check(picture, WIDTH, HEIGHT, frames - 1)


def test_a_picture_cut_off_anywhere_is_none() -> None:
    picture = a_file()
    for length in range(len(picture)):
        with pytest.raises(InvalidInput):
            png.check(picture[:length], WIDTH, HEIGHT)


@given(at=st.integers(8, len(made(header(), GREY)) - 1), bit=st.integers(0, 7))
def test_a_picture_with_a_damaged_bit_is_none(at: int, bit: int) -> None:
    picture = bytearray(made(header(), GREY))
    picture[at] ^= 1 << bit
    with pytest.raises(InvalidInput):
        png.check(bytes(picture), WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("picture", "wanted"),
    [
        (b"", "a PNG"),
        (b"GIF89a", "a PNG"),
        (made(header(), GREY, b"x"), "nothing behind"),
        (made(header(), GREY + b"\0"), "bytes of pixels, got 'more'"),
        (made(header(), GREY[:-1]), "bytes of pixels"),
        (made(header(width=WIDTH + 1), GREY), "24 by 16 pixels"),
        (made(header(depth=16), GREY), "8 bits per channel"),
        (made(header(colour=3), GREY), "8 bits per channel"),
        (made(header(interlace=1), GREY), "not interlaced"),
        (made(header(), GREY).replace(b"IHDR", b"IDAT"), "checksums"),
    ],
)
def test_what_is_no_such_picture_is_refused_with_what_was_wanted(picture: bytes, wanted: str) -> None:
    with pytest.raises(InvalidInput, match=wanted):
        png.check(picture, WIDTH, HEIGHT)


def test_a_bomb_is_refused_before_it_is_unfolded() -> None:
    bomb = made(header(), bytes(512 * 2**20))
    assert len(bomb) < 2**20
    with pytest.raises(InvalidInput, match="more"):
        png.check(bomb, WIDTH, HEIGHT)


def test_a_picture_of_more_pixels_than_any_is_refused() -> None:
    side = 2**16
    with pytest.raises(InvalidInput, match="pixels"):
        png.check(made(header(side, side), GREY), side, side)
