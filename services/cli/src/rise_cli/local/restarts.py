"""When a child that died is started again: pure, so that every case can be tested in a table."""

from __future__ import annotations

from collections.abc import Sequence

FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 8.0
WINDOW_S = 60.0
HELPERS_WINDOW_S = 600.0
"""Of what no job needs: weights that take half a minute to fail would be read over and over, beside those who draw."""
MOST_IN_WINDOW = 5


def next_delay(deaths: Sequence[float], now: float, window_s: float = WINDOW_S) -> float | None:
    """Seconds to wait before the next start, given the times of death so far; None means give up.

    A child that died once in a long while is started again almost at once. The wait doubles with every death within
    the last `window_s`, and a sixth one ends it: what dies six times a minute is broken, and restarting hides that.
    """
    recent = sum(1 for death in deaths if now - death <= window_s)
    if recent > MOST_IN_WINDOW:
        return None
    return float(min(FIRST_DELAY_S * 2 ** max(recent - 1, 0), LONGEST_DELAY_S))
