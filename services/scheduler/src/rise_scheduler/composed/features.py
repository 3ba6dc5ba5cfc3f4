"""What quality may depend on, by name: members at the head and the tail, how much of the noise range and how many steps
each has, the handoff, the prompt, and the arm itself for what no feature says. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm, share_of
from rise_scheduler.arms import canonical_arms
from rise_scheduler.memo import per_family
from rise_scheduler.posterior import Array
from rise_scheduler.prompt import PromptFeatures
from rise_scheduler.quality import prior_quality

PROMPT = tuple(f"prompt.{item.name}" for item in fields(PromptFeatures))
CHOSEN_KEPT = 64
HARDER = "*complexity"
"""The suffix of a feature that is multiplied with the prompt's complexity."""


def arm_features(arm: Arm, family: ModelFamily) -> dict[str, float]:
    """The features of an arm, whatever the prompt; those that are 0 are left out."""
    head, tail = arm.parts[0], arm.parts[-1]
    usual = {member.name: member.default_steps for member in family.spec.members}
    share = share_of(None, head.until_sigma)
    steps = sum(part.steps for part in arm.parts)
    found = {"one": 1.0, f"head={head.member}": 1.0, f"share:{head.member}": share, "few": math.exp(-steps / 6.0)}
    found[f"effort:{head.member}"] = _effort(head.steps, usual[head.member] * max(share, 0.05))
    if len(arm.parts) > 1:
        found[f"tail={tail.member}"] = 1.0
        found["hump"] = 4.0 * share * (1.0 - share)
        found[f"rest:{tail.member}"] = _effort(tail.steps, usual[tail.member] * max(1.0 - share, 0.05))
    for part in arm.parts[1:-1]:
        found[f"between={part.member}"] = 1.0
    if arm.wire_dtype == "q8":
        found["wire=q8"] = 1.0
    return {name: value for name, value in found.items() if value}


def _effort(steps: int, usual: float) -> float:
    """How much of what a member's steps give is had with so many: 1 - exp(-3 s / N), near 1 at the usual N."""
    return 1.0 - math.exp(-3.0 * steps / usual)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The features of all arms of a family as matrices, made once: ``static`` (K, s) holds those of the arms, of which
    the first ``common`` count again times the prompt's complexity. ``base`` (K,) is the quality by sizes and steps.
    """

    family: ModelFamily
    names: tuple[str, ...]
    common: int
    static: Array
    base: Array
    rows: dict[str, int] = field(repr=False)
    chosen: dict[tuple[str, ...], tuple[Array, Array]] = field(default_factory=dict, repr=False)

    def rows_of(self, arms: Sequence[Arm]) -> tuple[Array, Array]:
        """``static`` and ``base`` of these arms, to be read only: the same workers make the same arms again."""
        names = tuple([arm.name for arm in arms])
        found = self.chosen.get(names)
        if found is None:
            if len(self.chosen) >= CHOSEN_KEPT:
                self.chosen.clear()
            found = self.chosen[names] = self._rows_of(arms)
        return found

    def _rows_of(self, arms: Sequence[Arm]) -> tuple[Array, Array]:
        """An arm that is not of the family's own is worked out now."""
        known = [self.rows.get(arm.name, -1) for arm in arms]
        static, base = self.static[known], self.base[known]
        for place, row in enumerate(known):
            if row < 0:
                static[place] = _row(arms[place], self.family, self.names[: static.shape[1]])
                base[place] = prior_quality(arms[place], self.family)
        return static, base

    def matrix(self, static: Array, prompt: PromptFeatures) -> Array:
        """All features of arms and prompt, (K, d) in the order of ``names``."""
        rows, width = static.shape
        whole = np.empty((rows, len(self.names)))
        whole[:, :width] = static
        whole[:, width : width + self.common] = static[:, : self.common] * prompt.complexity
        whole[:, width + self.common :] = prompt.values()
        return whole


@per_family
def design_for(family: ModelFamily) -> Design:
    """The design of the family's canonical arms."""
    arms = canonical_arms(family)
    described = [arm_features(arm, family) for arm in arms]
    common = tuple(dict.fromkeys(name for found in described for name in found))
    own = tuple(dict.fromkeys(_own(arm) for arm in arms))
    static = np.stack([_row(arm, family, common + own) for arm in arms])
    return Design(
        family=family,
        names=common + own + tuple(name + HARDER for name in common) + PROMPT,
        common=len(common),
        static=static,
        base=np.array([prior_quality(arm, family) for arm in arms]),
        rows={arm.name: index for index, arm in enumerate(arms)},
    )


def _own(arm: Arm) -> str:
    return f"arm={arm.learns_as}"


def _row(arm: Arm, family: ModelFamily, names: tuple[str, ...]) -> Array:
    found = arm_features(arm, family) | {_own(arm): 1.0}
    return np.array([found.get(name, 0.0) for name in names])
