"""A job that names its own stages (``relay.mode: Fixed``) becomes an arm of its own, after every name and number was
checked.
"""

from __future__ import annotations

from rise_contracts.errors import UnknownName
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.arm import Arm, ArmPart, arm_of, check_sigmas

_FIELD = "spec.relay.stages"


def fixed_arm(spec: RelayJobSpec, family: ModelFamily) -> Arm:
    """The arm that ``spec`` asks for. Raises UnknownName or InvalidInput with the field, what is wanted and what to
    do.

    That handoff sigmas are there and fall, and what steps add up to, is checked when the spec is read; the noise levels
    that members take need the family.
    """
    stages = spec.relay.stages
    members = {member.name: member for member in family.spec.members}
    for index, stage in enumerate(stages):
        if stage.member not in members:
            raise UnknownName("member", stage.member, members, f"{_FIELD}[{index}].member")
    check_sigmas(family, stages, _FIELD)
    parts = [
        ArmPart(s.member, s.tier or members[s.member].tier, s.steps, s.until_sigma, movable=s.tier is None)
        for s in stages
    ]
    return arm_of(parts, wire_dtype=spec.relay.wire_dtype)
