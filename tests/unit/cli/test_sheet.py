"""The contact sheet, by its pixels."""

from __future__ import annotations

import pytest
from PIL import Image

from rise_cli import sheet


def cell(seconds: float = 1.0, *, edge: float = 0.6, device: float = 0.3, ok: bool | None = True) -> sheet.Cell:
    picture = Image.new("RGB", (64, 64), "#808000")
    return sheet.Cell("relay", "large 6 steps", picture, seconds, edge, device, ok, ("the circle is missing",))


def count(image: Image.Image, colour: str) -> int:
    want = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return sum(1 for pixel in image.get_flattened_data() if pixel == want)


@pytest.mark.parametrize(("cells", "columns"), [(1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (8, 4)])
def test_rows_are_filled_evenly(cells: int, columns: int) -> None:
    drawn = sheet.draw("a red circle", "seed 7", [cell()] * cells)
    want = 2 * sheet.MARGIN + columns * sheet.SIDE + (columns - 1) * sheet.GAP
    assert drawn.width == max(want, sheet.LEAST_WIDTH)


def test_every_picture_is_there_in_whole_pixels() -> None:
    drawn = sheet.draw("a red circle", "seed 7", [cell(), cell()])
    assert count(drawn, "#808000") == 2 * sheet.SIDE * sheet.SIDE


def test_bars_share_one_scale() -> None:
    drawn = sheet.draw("p", "n", [cell(2.0, edge=2.0, device=0.0), cell(1.0, edge=0.0, device=1.0)])
    legend = 15 * 13
    edge, device = (count(drawn, colour) - legend for colour in (sheet.EDGE, sheet.DEVICE))
    assert edge / device == pytest.approx(2.0, rel=0.02)


def test_verdicts_are_in_their_colours() -> None:
    assert count(sheet.draw("p", "n", [cell(ok=True)]), sheet.GOOD) > 20
    assert count(sheet.draw("p", "n", [cell(ok=False)]), sheet.BAD) > 20
    unjudged = sheet.draw("p", "n", [cell(ok=None)])
    assert count(unjudged, sheet.GOOD) == count(unjudged, sheet.BAD) == 0


def test_small_pictures_are_enlarged_by_whole_pixels_and_large_ones_shrunk() -> None:
    assert sheet.enlarge(Image.new("RGB", (64, 32))).size == (256, 128)
    assert sheet.enlarge(Image.new("RGB", (96, 96))).size == (192, 192)
    assert sheet.enlarge(Image.new("RGBA", (1024, 512))).size == (256, 128)


def test_nothing_overflows_with_long_texts() -> None:
    drawn = sheet.draw("a striped green triangle " * 12, "a note that goes on " * 20, [cell()])
    right = drawn.crop((drawn.width - sheet.MARGIN // 2, 0, drawn.width, drawn.height))
    assert right.getcolors() == [(right.width * right.height, (255, 255, 255))]


def test_a_run_that_took_no_time_is_drawn_too() -> None:
    assert sheet.draw("p", "n", [cell(0.0, edge=0.0, device=0.0)]).height > sheet.SIDE
