"""The hidden quality of the synthetic family: made of other forms than any policy's features, on purpose.

A member's strength falls with the difficulty of the prompt, to a power of its own; steps count by a Hill curve whose
half-point moves with difficulty; a relay is a weighted harmonic mean of its two sides, so that the weaker one binds;
every arm is off by an amount of its own and waves along the difficulty. Difficulty is a rank of a mixture of prompt
features and something that no feature shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from rise_scheduler.arm import LOG_SIGMA_BOTTOM, LOG_SIGMA_TOP, Arm
from rise_scheduler.prompt import PromptFeatures

ARM_SD, WAVE_SD, UNSEEN_SD = 0.03, 0.03, 0.5
SEEN_MEAN, SEEN_SD = 0.94, 0.57
"""Of the mixture of features over prompts like DiffusionDB's."""
HEAD_BINDS = 0.36
"""The share of the noise range after which the structure of a picture is mostly settled."""


@dataclass(frozen=True)
class Strength:
    """A member alone: its quality on the easiest prompts, what the hardest cost, along which power, and its steps."""

    best: float
    falls: float
    power: float
    usual: int


STRENGTHS = {
    "full": Strength(0.88, 0.10, 1.5, 30),
    "half": Strength(0.83, 0.18, 1.3, 24),
    "light": Strength(0.74, 0.34, 1.0, 20),
    "tiny": Strength(0.62, 0.40, 0.8, 16),
    "finisher": Strength(0.84, 0.14, 1.6, 6),
}


def difficulty(prompts: Sequence[PromptFeatures], texts: Sequence[str], rng: Generator) -> np.ndarray:
    """0 (easiest) to 1, uniform over prompts like these, (prompts,); the same text is always as difficult."""
    weights = np.array([0.2, 0.2, 0.9, 0.5, 0.6, 0.7, 0.8, -0.3, 0.3])
    seen = np.array([item.values() for item in prompts]) @ weights
    unseen: dict[str, float] = {}
    for text in texts:
        if text not in unseen:
            unseen[text] = float(rng.normal(0.0, UNSEEN_SD))
    scaled = (seen - SEEN_MEAN) / SEEN_SD
    mixed = (scaled + np.array([unseen[text] for text in texts])) / math.sqrt(1.0 + UNSEEN_SD**2)
    ranks: np.ndarray = ndtr(mixed)
    return ranks


@dataclass(frozen=True)
class Truth:
    """One draw of the hidden quality. ``offset``, ``pitch`` and ``phase`` are (arms,); ``shift`` is by member."""

    arms: tuple[Arm, ...]
    offset: np.ndarray
    pitch: np.ndarray
    phase: np.ndarray
    shift: dict[str, float]

    @staticmethod
    def draw(arms: Sequence[Arm], rng: Generator) -> Truth:
        """Of a seed."""
        count = len(arms)
        return Truth(
            tuple(arms),
            rng.normal(0.0, ARM_SD, count),
            rng.uniform(0.4, 1.4, count),
            rng.uniform(0.0, 1.0, count),
            {name: float(rng.normal(0.0, 0.025)) for name in STRENGTHS},
        )

    def quality(self, hard: np.ndarray, dropped: np.ndarray | None = None) -> np.ndarray:
        """The expected quality of every arm (prompts, arms) at difficulties ``hard`` (prompts,). ``dropped`` (prompts,)
        is what the base member has silently lost."""
        plain = np.stack([self._plain(arm, hard, dropped) for arm in self.arms], axis=1)
        wave = WAVE_SD * math.sqrt(2.0) * np.sin(2 * np.pi * (hard[:, None] * self.pitch + self.phase))
        found: np.ndarray = np.clip(plain + self.offset + wave, 0.02, 0.98)
        return found

    def _plain(self, arm: Arm, hard: np.ndarray, dropped: np.ndarray | None) -> np.ndarray:
        head = arm.parts[0]
        share = noise_share(head.until_sigma)
        lost = dropped if dropped is not None and head.member == "full" else np.zeros_like(hard)
        if len(arm.parts) == 1:
            alone: np.ndarray = self._side(head.member, hard, head.steps, 1.0) - lost
            return alone
        tail = arm.parts[-1]
        binds = 1.0 - math.exp(-((share / HEAD_BINDS) ** 1.3))
        first = self._side(head.member, hard, head.steps, share)
        # With the structure settled by the head, a prompt is only as hard for the tail as what is left of it.
        second = self._side(tail.member, hard * (1.0 - 0.8 * binds), tail.steps, 1.0 - share)
        joined: np.ndarray = 1.0 / (binds / np.maximum(first, 0.05) + (1.0 - binds) / np.maximum(second, 0.05))
        seam = 0.012 if head.member == "full" else 0.022
        joined -= seam * (1.0 - binds) + binds * lost
        return joined

    def _side(self, member: str, hard: np.ndarray, steps: int, share: float) -> np.ndarray:
        strength = STRENGTHS[member]
        best = strength.best + self.shift[member] - strength.falls * hard**strength.power
        whole = strength.usual if member == "finisher" else strength.usual * share**0.8
        half = 0.14 * whole * (0.7 + 0.6 * hard)
        found: np.ndarray = best * steps**1.7 / (steps**1.7 + half**1.7)
        return found


def noise_share(until_sigma: float | None) -> float:
    """The share of the logarithmic noise range above a handoff; 1 for a run to the end."""
    if until_sigma is None:
        return 1.0
    return (LOG_SIGMA_TOP - math.log(until_sigma)) / (LOG_SIGMA_TOP - LOG_SIGMA_BOTTOM)
