"""What a second of the edge costs, so that jobs do not all take what is best for each of them: a pacer on the wait
there.

    W~ <- 0.95 W~ + 0.05 min(W, 1),   x = W~ / W* - 1
    price <- min(price + 0.02 x, 0.5) while x >= 0, else price (1 + 0.1 x)

It rises step by step and falls by shares, so that an edge that has become idle is soon used again. Waits are shares of
the reference latency, the price is utility per reference latency of edge work. The form is that of ParetoBandit's
budget pacer (arXiv 2604.00136), on waiting instead of money.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rise_scheduler.placing import Candidate

WANTED, SMOOTHING, LONGEST = 0.2, 0.05, 1.0
STEP, FALL, HIGHEST = 0.02, 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Pacer:
    """The price now, and the smoothed wait that it follows."""

    price: float = 0.0
    wait: float = 0.0

    def after(self, wait: float) -> Pacer:
        """Once a job found that it would ``wait`` (a share of its reference latency) for the edge."""
        smooth = (1.0 - SMOOTHING) * self.wait + SMOOTHING * min(max(wait, 0.0), LONGEST)
        excess = smooth / WANTED - 1.0
        price = min(self.price + STEP * excess, HIGHEST) if excess >= 0 else self.price * (1.0 + FALL * excess)
        return Pacer(price, smooth)

    @property
    def busy(self) -> bool:
        """Whether there is too much to do for experiments."""
        return self.wait > 2.0 * WANTED


def edge_wait(candidates: Iterable[Candidate], reference_s: float) -> float:
    """The shortest wait before a head on the edge, as a share of the reference latency; 0 where no arm needs the
    edge."""
    waits = [item.forecast.waits[0] for item in candidates if item.tiers[0] == "edge"]
    return min(waits, default=0.0) / reference_s
