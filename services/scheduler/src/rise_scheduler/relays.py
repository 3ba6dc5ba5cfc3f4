"""The relays that a family's handoffs give, for a family that names none. Pure.

All that is possible first: two members on different tiers in either order (large first decides the content, small
first spares the edge, as T-Stitch does, arXiv 2402.14167) and three from large to small, at every handoff that each can
take, each stage with the share of its member's usual steps that its stretch of the noise range is or half of that, and
with the usual dtype or 8 bits on the wire.

Then those are kept that would be the best choice for some kind of job (preference, device, wait for the edge, link, how
much the first noise levels decide) if the pictures of these members at these handoffs turned out better, by LUCK, than
sizes and steps let expect: the others have to be beaten by more than anybody expects. Of one cut there are two at most,
for in what else they differ the formula is sure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rise_contracts.model import WireDtype
from rise_contracts.resources import Member, ModelFamily
from rise_contracts.utility import LATENCY_CAP
from rise_scheduler.arm import Arm, ArmPart, arm_of, base_member, share_of
from rise_scheduler.quality import prior_quality

MOST: Final = 24
"""So many relays at most: a decision looks at each, and each has to be learned of."""
LUCK: Final = 0.1
"""What sizes and steps may be wrong by, in quality."""
OF_A_CUT: Final = 2
CUTS: Final = 256
"""Of each length at most: where there are more, every other handoff is left out."""
EFFORTS: Final = (1.0, 0.5)
WIRES: Final[tuple[WireDtype | None, ...]] = (None, "q8")
EARLY: Final = (0.5, 1.0, 2.0)
"""Beliefs of how much the first noise levels decide, as in `prior_quality`."""
PREFERENCES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
DEVICES: Final = (1.0, 4.0, 16.0)
"""Seconds per step and parameter on a device, as many times the edge's."""
WAITS: Final = (0.0, 1.0)
"""For the edge, in reference latencies."""
LINKS: Final = (0.0, 0.2)
"""Seconds of a handoff in the usual dtype, in reference latencies."""
HALF: Final = 0.5
"""What 8 bits take of the time of the usual 16."""

Array = NDArray[np.float64]


class _Work(NamedTuple):
    """What an arm costs, where the base member alone at its default steps is 1 of edge work."""

    edge: float
    device: float
    handoffs: float
    waits: float


def relays_of_handoffs(family: ModelFamily, others: Sequence[Arm]) -> list[Arm]:
    """Those worth having beside ``others``, by members and from the highest handoff to the lowest."""
    cuts = list(_cuts(family))
    possible = [arm for cut in cuts for arm in cut]
    if not possible:
        return []
    best = utilities([*possible, *others], family).max(axis=0)
    lucky = utilities(possible, family, LUCK)
    ranked = [
        (place, -gain, start + index)
        for start, end in itertools.pairwise(itertools.accumulate(map(len, cuts), initial=0))
        for place, (index, gain) in enumerate(cover(lucky[start:end], best))
    ]
    # Every cut comes to its first relay before any has a second.
    return [possible[index] for index in sorted(index for _, _, index in sorted(ranked)[:MOST])]


def utilities(arms: Sequence[Arm], family: ModelFamily, luck: float = 0.0) -> Array:
    """Of each arm (K, S) for each kind of job, its quality being ``luck`` above what sizes and steps let expect."""
    edge, device, handoffs, waits = np.array([_work(arm, family) for arm in arms]).T
    quality = [np.array([prior_quality(arm, family, early) for arm in arms]) + luck for early in EARLY]
    columns = []
    for slow, wait, link in itertools.product(DEVICES, WAITS, LINKS):
        latency = np.minimum(edge + slow * device + link * handoffs + wait * waits, LATENCY_CAP)
        columns += [w * q - (1.0 - w) * 0.5 * latency for w in PREFERENCES for q in quality]
    return np.stack(columns, axis=1)


def cover(utility: Array, best: Array) -> list[tuple[int, float]]:
    """Rows of ``utility`` (K, S) that are above ``best`` (S,) somewhere, the most useful first, each with what it adds
    to the mean."""
    chosen: list[tuple[int, float]] = []
    while len(chosen) < OF_A_CUT:
        gains = np.maximum(utility - best, 0.0).mean(axis=1)
        index = int(gains.argmax())
        if gains[index] <= 0.0:
            break
        chosen.append((index, float(gains[index])))
        best = np.maximum(best, utility[index])
    return chosen


def _work(arm: Arm, family: ModelFamily) -> _Work:
    members = {member.name: member for member in family.spec.members}
    base = base_member(family)
    whole = base.default_steps * (base.parameters or 1)
    by_tier = {"edge": 0.0, "device": 0.0}
    for part in arm.parts:
        by_tier[part.tier] += part.steps * (members[part.member].parameters or 1) / whole
    moves = (len(arm.parts) - 1) * (1.0 if arm.wire_dtype is None else HALF)
    return _Work(by_tier["edge"], by_tier["device"], moves, float(by_tier["edge"] > 0))


def _cuts(family: ModelFamily) -> Iterator[list[Arm]]:
    """The arms of each choice of members and handoffs, at most CUTS of two stages and of three."""
    sigmas = sorted({sigma for sigma in family.spec.handoffs if sigma > 0}, reverse=True)
    for chains in (list(_pairs(family.spec.members)), list(_threes(family.spec.members))):
        within = sigmas
        while within[2:] and len(chains) * math.comb(len(within), len(chains[0]) - 1 if chains else 1) > CUTS:
            within = within[::2]
        possible = (
            list(_arms(chain, cuts))
            for chain in chains
            for cuts in itertools.combinations(within, len(chain) - 1)
            if all(_takes(member, above) for member, above in zip(chain[1:], cuts, strict=True))
        )
        yield from itertools.islice(possible, CUTS)


def _pairs(members: Sequence[Member]) -> Iterator[tuple[Member, ...]]:
    """Who follows whom: a head that takes all noise levels, and a tail on the other tier."""
    for head, tail in itertools.permutations(members, 2):
        if head.sigma_max is None and head.tier != tail.tier:
            yield head, tail


def _threes(members: Sequence[Member]) -> Iterator[tuple[Member, ...]]:
    """From large to small, and from the edge to a device."""
    sized = sorted((member for member in members if member.parameters), key=lambda each: -(each.parameters or 0))
    for chain in itertools.combinations(sized, 3):
        if chain[0].sigma_max is None and chain[0].tier == "edge" and chain[-1].tier == "device":
            yield chain


def _takes(member: Member, sigma: float) -> bool:
    return member.sigma_max is None or sigma <= member.sigma_max


def _arms(chain: Sequence[Member], cuts: Sequence[float]) -> Iterator[Arm]:
    """Of two stages each may take half its steps; of three all or none, for they are many."""
    levels = [None, *cuts, None]
    efforts = itertools.product(EFFORTS, repeat=2) if len(chain) == 2 else ((each,) * len(chain) for each in EFFORTS)
    for effort, wire in itertools.product(efforts, WIRES):
        parts = [
            ArmPart(member.name, member.tier, _steps(member, above, below, share), below)
            for member, above, below, share in zip(chain, levels, levels[1:], effort, strict=False)
        ]
        yield arm_of(parts, wire_dtype=wire)


def _steps(member: Member, above: float | None, below: float | None, effort: float) -> int:
    """A finisher's usual steps are those from where it takes over."""
    stretch = 1.0 if member.sigma_max is not None else share_of(above, below)
    return max(math.ceil(stretch * member.default_steps * effort), 1)
