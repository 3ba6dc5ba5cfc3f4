"""From an arm's name to a configuration for one process, as benchmarks and tests need it."""

from __future__ import annotations

from collections.abc import Sequence

from rise_contracts.configuration import Configuration, Stage, parse_arm
from rise_contracts.errors import UnknownName
from rise_contracts.model import Grid, Solver, WireDtype
from rise_contracts.resources import ModelFamily


def configuration_of(
    arm: str,
    family: ModelFamily,
    *,
    solver: Solver | None = None,
    grid: Grid | None = None,
    wire_dtype: WireDtype = "fp32",
    guidance: Sequence[float] | None = None,
    shared_grid: bool = False,
) -> Configuration:
    """The stages that `arm` names. Guidance is each member's default where None."""
    parsed = parse_arm(arm)
    stages = []
    sigma: float | None = None
    for index, part in enumerate(parsed):
        member = family.member(part.member)
        if member is None:
            raise UnknownName("member", part.member, [known.name for known in family.spec.members])
        scale = member.default_guidance if guidance is None else guidance[index]
        stages.append(
            Stage(
                index=index,
                member=part.member,
                tier=member.tier,
                pool=member.tier,
                steps=part.steps,
                sigma_from=sigma,
                sigma_to=part.until_sigma or 0.0,
                guidance=scale,
            )
        )
        sigma = part.until_sigma
    return Configuration(
        arm=arm,
        stages=tuple(stages),
        solver=solver or family.spec.solver,
        grid=grid or family.spec.grid,
        wire_dtype=wire_dtype,
        shared_grid=shared_grid,
    )
