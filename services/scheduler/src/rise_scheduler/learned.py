"""All that was learned of one family: for LinUCB, and for the composed policy. Both learn from every outcome, whichever
of them decides, so that one can take over from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.context import FEATURES
from rise_scheduler.posterior import Posterior


@dataclass(frozen=True, slots=True)
class Learned:
    """Nothing, where nothing is said."""

    posterior: Posterior = field(default_factory=lambda: Posterior(FEATURES))
    composed: Knowledge = field(default_factory=Knowledge)
