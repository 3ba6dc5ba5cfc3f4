"""A stored result as a picture to be scored."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from rise_contracts.errors import InvalidInput
from rise_runtime import png as pngs


def opened(png: bytes) -> Image.Image:
    """The picture of a PNG file, RGB; of an animated one its middle frame. Raises InvalidInput where it is none.

    Its size is looked at before a pixel is unfolded.
    """
    width, height = pngs.size_of(png)
    if not 0 < width * height <= pngs.MOST_PIXELS:
        raise InvalidInput("picture", f"1 to {pngs.MOST_PIXELS} pixels", width * height)
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.seek(getattr(image, "n_frames", 1) // 2)
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidInput("picture", "a PNG that can be read", type(error).__name__) from error
