"""The quality to expect of an arm before anybody has judged its pictures, and after. Pure.

The prior says no more than what sizes and step counts say: a member's pictures are worth 0.9 at the base member's
size and fall with the fourth root of the parameters; a member specialised on low noise levels loses 3 % of what it is
handed; a run of s steps where N are usual keeps 1 - exp(-4 s / N); a relay is the mean of its stages, weighted by the
share of the log-noise range each runs; 8 bits on the wire lose half a hundredth of that. Measured means replace it arm
by arm, as if the prior were one measurement.
"""

from __future__ import annotations

import math

from rise_contracts.resources import Member, ModelFamily
from rise_scheduler.arm import Arm, base_member, share_of
from rise_scheduler.memo import per_family
from rise_scheduler.posterior import Posterior

_FULL = 0.9
_FINISHING = 0.97
_IN_8_BITS = 0.995
PRIORS_KEPT = 256
"""Of a family: jobs may name arms of their own."""


def expected_quality(arm: Arm, family: ModelFamily, posterior: Posterior) -> float:
    """The mean of the arm's measured qualities and one measurement at the prior, 0..1."""
    priors = _priors(family)
    prior = priors.get(arm.name)
    if prior is None:
        prior = prior_quality(arm, family)
        if len(priors) < PRIORS_KEPT:
            priors[arm.name] = prior
    sums = posterior.arms.get(arm.learns_as)
    return prior if sums is None else (sums.quality_sum + prior) / (sums.quality_n + 1)


@per_family
def _priors(_: ModelFamily) -> dict[str, float]:
    """By arm, filled as they are asked for."""
    return {}


def prior_quality(arm: Arm, family: ModelFamily, early: float = 1.0) -> float:
    """The quality to expect by sizes and steps alone, 0..1. With ``early`` below 1 the first noise levels count for
    more than their share of the range, above 1 for less."""
    members = {member.name: member for member in family.spec.members}
    base = base_member(family)
    total, above, worth, done = 0.0, None, 0.0, 0.0
    for part in arm.parts:
        member = members[part.member]
        share = share_of(above, part.until_sigma)
        finishing = member.sigma_max is not None
        worth = worth * _FINISHING if finishing and worth else _worth(member, base)
        usual = member.default_steps * (1.0 if finishing else max(share, 1e-3))
        weight, done = (done + share) ** early - done**early, done + share
        total += weight * worth * (1.0 - math.exp(-4.0 * part.steps / usual))
        above = part.until_sigma
    return min(max(total * (_IN_8_BITS if arm.wire_dtype == "q8" else 1.0), 0.0), 1.0)


def _worth(member: Member, base: Member) -> float:
    if member.name == base.name:
        return _FULL
    if member.parameters is None or base.parameters is None:
        return _FULL * (1.0 if member.tier == base.tier else 0.7)
    return float(_FULL * min((member.parameters / base.parameters) ** 0.25, 1.0))
