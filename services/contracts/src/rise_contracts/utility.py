"""What a finished job is worth: u = w q - (1 - w) / 2 min(T / T_ref, 2), with w the user's preference.

Quality is 0..1, so the utility lies in [-1, 1]. The cap keeps one stuck job from outweighing hundreds of good ones.
"""

from __future__ import annotations

LATENCY_CAP = 2.0


def utility(quality: float, latency_s: float, *, preference: float, reference_s: float) -> float:
    """The utility of a picture of ``quality`` after ``latency_s``; ``reference_s`` (> 0) is the latency that costs half
    of the speed weight."""
    return preference * quality - (1.0 - preference) * 0.5 * min(latency_s / reference_s, LATENCY_CAP)


def failed_utility(*, preference: float) -> float:
    """That of a job that ended without a picture: no quality, and as slow as the scale goes."""
    return -(1.0 - preference) * 0.5 * LATENCY_CAP
