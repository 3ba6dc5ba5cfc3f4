"""How near one picture is to another of the same noise: structural similarity, 0 (or less like it) to 1 (the same).

Mean SSIM by Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to
structural similarity", IEEE Transactions on Image Processing 13 (4), 2004: equation 13 with its constants and its
window, over every colour by itself (on luminance alone a red circle is a green one). As the authors advise, large
pictures are first averaged down to about 256 pixels a side, what an eye sees of them at once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

Array = NDArray[np.float64]

SIDE: Final = 256
_RANGE: Final = 255.0
_C1, _C2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
_RADIUS, _SIGMA = 5, 1.5
_BELL: Final = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
_WINDOW: Final = _BELL / _BELL.sum()
LEAST: Final = 2 * _RADIUS + 1
"""Pixels a side: the window has to fit in."""


def of_files(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[float, ...]:
    """The fidelity of each PNG file to its counterpart; of an animated one the mean over its frames.

    Raises ValueError where they are not as many, or not of one size.
    """
    return tuple(_of_file(one, other) for one, other in zip(ours, theirs, strict=True))


def of_pixels(ours: Array, theirs: Array) -> float:
    """The fidelity of one picture, (height, width, 3) with values 0 to 255. Raises ValueError where sizes differ."""
    if ours.shape != theirs.shape or min(ours.shape[:2]) < LEAST:
        raise ValueError(
            f"wanted two pictures of one size, {LEAST} pixels a side at least, got {ours.shape[:2]}, {theirs.shape[:2]}"
        )
    return max(0.0, float(_ssim(_smaller(ours), _smaller(theirs)).mean()))


def _of_file(ours: bytes, theirs: bytes) -> float:
    with Image.open(io.BytesIO(ours)) as one, Image.open(io.BytesIO(theirs)) as other:
        pairs = zip(ImageSequence.Iterator(one), ImageSequence.Iterator(other), strict=True)
        found = [of_pixels(_pixels(first), _pixels(second)) for first, second in pairs]
    return sum(found) / len(found)


def _pixels(image: Image.Image) -> Array:
    return np.asarray(image.convert("RGB"), dtype=np.float64)


def _smaller(image: Array) -> Array:
    """Averaged over squares, so that the shorter side has about `SIDE` pixels."""
    factor = max(1, round(min(image.shape[:2]) / SIDE))
    height, width = (length // factor for length in image.shape[:2])
    cut = image[: height * factor, : width * factor]
    squares: Array = cut.reshape(height, factor, width, factor, 3)
    averaged: Array = squares.mean(axis=(1, 3))
    return averaged


def _ssim(x: Array, y: Array) -> Array:
    """Equation 13 at every place where the window fits."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return likeness / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))


def _blurred(image: Array) -> Array:
    """The window's weighted mean, row by row and then column by column."""
    for axis in (0, 1):
        image = np.lib.stride_tricks.sliding_window_view(image, LEAST, axis=axis) @ _WINDOW
    return image
