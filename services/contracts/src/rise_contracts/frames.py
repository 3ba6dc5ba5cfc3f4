"""How many frames a job's pictures have: one, but where the family makes videos."""

from __future__ import annotations

from typing import Final

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import VIDEOS, ModelFamily

EVERY: Final = 4
"""Frames to one of the latent, but for the first, which has one to itself."""
PER_SECOND: Final = 16
"""How fast videos are shown."""


def frames_of(family: ModelFamily, asked: int | None = None, field: str = "frames") -> int:
    """The number of frames of a job that asks for `asked`. Raises InvalidInput where the family cannot make them.

    `field` is what the person who asks calls it.
    """
    spec = family.spec
    if spec.architecture not in VIDEOS:
        if asked is not None and asked > 1:
            raise InvalidInput(field, f"1: family {family.metadata.name} makes pictures, not videos", asked)
        return 1
    frames = asked or spec.default_frames or VIDEOS[spec.architecture]
    if (frames - 1) % EVERY:
        below = frames - (frames - 1) % EVERY
        near = f"{below} or {below + EVERY}"
        raise InvalidInput(field, f"1 and a multiple of {EVERY} more, such as {near}", frames)
    return frames


def latent_frames(frames: int) -> int:
    """How many frames the latent of a video has."""
    return (frames - 1) // EVERY + 1
