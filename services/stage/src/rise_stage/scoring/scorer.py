"""What a scorer is."""

from __future__ import annotations

from typing import Protocol

from PIL.Image import Image


class Scorer(Protocol):
    """Rates pictures. Called from one thread at a time."""

    @property
    def name(self) -> str:
        """As labels name their source."""

    def score(self, prompt: str, picture: Image) -> float:
        """How good an RGB picture of the prompt is, 0 to 1. Raises InvalidInput where it is worth no number."""
