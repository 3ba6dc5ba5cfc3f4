"""Structural similarity: what it must say of the same, the like and the unlike, and a value worked out by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from rise_cli import fidelity
from rise_cli.fidelity import Array


def disc(colour: tuple[int, int, int], x: float = 32.0, radius: float = 14.0, size: int = 64) -> Array:
    """A disc on a pale ground."""
    rows, columns = np.mgrid[:size, :size]
    picture = np.full((size, size, 3), 230.0)
    picture[(columns - x) ** 2 + (rows - size / 2) ** 2 < radius**2] = colour
    return picture


def png(*frames: Array) -> bytes:
    images = [Image.fromarray(frame.round().astype(np.uint8)) for frame in frames]
    stream = io.BytesIO()
    images[0].save(stream, "PNG", save_all=len(images) > 1, append_images=images[1:])
    return stream.getvalue()


RED, GREEN = (200, 40, 40), (40, 116, 40)
"""Of nearly the same luminance (Rec. 601): 87.8 and 84.6."""


def test_a_picture_is_itself() -> None:
    assert fidelity.of_pixels(disc(RED), disc(RED)) == pytest.approx(1.0)


def test_flat_pictures_differ_as_the_formula_says() -> None:
    # Without structure equation 13 is (2 μx μy + C1) / (μx² + μy² + C1), C1 = 2.55².
    ours, theirs = np.full((16, 16, 3), 100.0), np.full((16, 16, 3), 150.0)
    wanted = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    assert fidelity.of_pixels(ours, theirs) == pytest.approx(wanted)


def test_it_is_equation_13_as_another_filter_computes_it() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (2, 40, 48, 3))

    def blurred(image: Array) -> Array:
        filtered: Array = gaussian_filter(image, (1.5, 1.5, 0), radius=(5, 5, 0))
        return filtered[5:-5, 5:-5]

    mx, my = blurred(x), blurred(y)
    vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    wanted = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert fidelity.of_pixels(x, y) == pytest.approx(max(0.0, wanted), abs=1e-12)


def test_it_falls_as_the_picture_drifts_away_and_does_not_care_who_is_compared_to_whom() -> None:
    base = disc(RED)
    found = [fidelity.of_pixels(disc(RED, 32 + away), base) for away in (0, 1, 3, 8, 16)]
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 0.2
    assert fidelity.of_pixels(base, disc(RED, 40)) == pytest.approx(found[3])


def test_another_colour_of_the_same_brightness_is_seen() -> None:
    assert fidelity.of_pixels(disc(RED), disc(GREEN)) < 0.95


def test_the_opposite_is_worth_nothing_and_never_less() -> None:
    stripes = np.zeros((64, 64, 3))
    stripes[:, ::2] = 255.0
    assert fidelity.of_pixels(stripes, 255.0 - stripes) == 0.0


def test_a_large_picture_is_looked_at_from_as_far_away_as_a_small_one() -> None:
    large = fidelity.of_pixels(disc(RED, 520, 200, 1024), disc(RED, 540, 200, 1024))
    small = fidelity.of_pixels(disc(RED, 130, 50, 256), disc(RED, 135, 50, 256))
    assert large == pytest.approx(small, abs=0.01)


def test_files_are_compared_one_by_one_and_videos_frame_by_frame() -> None:
    base, off = disc(RED), disc(GREEN)
    one = fidelity.of_pixels(off, base)
    assert fidelity.of_files([png(base), png(off)], [png(base), png(base)]) == pytest.approx((1.0, one))
    assert fidelity.of_files([png(base, off)], [png(base, base)]) == pytest.approx(((1 + one) / 2,))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        fidelity.of_pixels(disc(RED), disc(RED, size=72))
    with pytest.raises(ValueError, match="11 pixels a side"):
        fidelity.of_pixels(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="argument 2"):
        fidelity.of_files([png(disc(RED))], [])
    with pytest.raises(ValueError, match="argument 2"):
        fidelity.of_files([png(disc(RED), disc(GREEN))], [png(disc(RED))])
