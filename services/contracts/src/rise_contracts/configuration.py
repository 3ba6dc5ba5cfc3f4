"""What the scheduler answers: the stages of one job, and the short names of such answers (arms).

An arm is written ``member:steps[@sigma]`` per stage, joined by ``+``: ``large:6@1.2+finisher:6`` is six steps of
`large` down to sigma 1.2, then six of `finisher` to the end. ``~q8`` after it: with that dtype on the wire instead of
the usual one. It says what is computed, not where.
"""

from __future__ import annotations

import itertools
import re
import typing
from collections.abc import Iterable
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from rise_contracts import errors, subjects
from rise_contracts.model import DEFAULT_WIRE, Grid, Name, Part, Sigma, Solver, Tier, WireDtype


class ArmStage(NamedTuple):
    """A stage as an arm's name gives it; `until_sigma` is None for the last one."""

    member: str
    steps: int
    until_sigma: float | None = None


class Stage(Part):
    """A contiguous run of denoising steps by one member on one worker.

    `sigma_from` None is the start of the member's schedule; `sigma_to` 0 is the end. `worker` None is any of `pool`.
    """

    index: int = Field(ge=0, le=7)
    member: Name
    tier: Tier
    pool: Name
    worker: Name | None = None
    steps: int = Field(ge=1, le=200)
    sigma_from: Sigma | None = None
    sigma_to: Sigma = 0.0
    guidance: float = Field(default=1.0, ge=0, le=50, allow_inf_nan=False)

    @property
    def lane(self) -> str:
        """As it stands in the subjects of all that belongs to this stage."""
        return subjects.lane(self.pool, self.worker)

    def is_of(self, pool: str, worker: str) -> bool:
        """Whether this worker may be at it: one of the pool, and no other than the one that it is bound to."""
        return self.pool == pool and self.worker in (None, worker)


class Configuration(Part):
    """The stages of a job.

    With `shared_grid` they are slices of the one grid that an uncut run of all their steps would walk, so that
    with one member on all sides the picture is the uncut run's; each `sigma_to` must be a level of that grid.
    Without it every stage has a grid of its own between its two levels.
    """

    arm: Annotated[str, Field(min_length=1, max_length=256)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=8)]
    solver: Solver = "euler"
    grid: Grid = "family"
    shared_grid: bool = False
    wire_dtype: WireDtype = DEFAULT_WIRE

    @model_validator(mode="after")
    def _stages_join(self) -> Self:
        if [stage.index for stage in self.stages] != list(range(len(self.stages))):
            raise ValueError("stages must be numbered 0, 1, 2 … in order")
        if self.stages[0].sigma_from is not None:
            raise ValueError("the first stage starts at the start of the schedule: its sigma_from must be None")
        if self.stages[-1].sigma_to != 0:
            raise ValueError("the last stage must end at sigma 0")
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.sigma_to <= 0 or after.sigma_from != before.sigma_to:
                raise ValueError(f"stage {after.index} must start at the sigma > 0 at which stage {before.index} ends")
            if after.sigma_to >= before.sigma_to:
                raise ValueError(f"sigma must fall from stage to stage, stage {after.index} does not")
        return self


_WIRE = "~"
_STAGE = re.compile(r"(?P<member>[a-z0-9][a-z0-9-]*):(?P<steps>\d{1,3})(?:@(?P<sigma>\d+(?:\.\d+)?(?:e-?\d+)?))?")


def parse_arm(text: str) -> tuple[ArmStage, ...]:
    """The stages that an arm's name gives. Raises InvalidInput with the form that is wanted."""
    named, mark, wire = text.partition(_WIRE)
    if mark and wire.strip() not in typing.get_args(WireDtype):
        raise _bad_arm(text, f"one of {', '.join(typing.get_args(WireDtype))} after {_WIRE}")
    stages = tuple(_parse_stage(part.strip(), text) for part in named.split("+"))
    handoffs = [stage.until_sigma for stage in stages[:-1]]
    if stages[-1].until_sigma is not None or None in handoffs:
        raise _bad_arm(text, "a handoff sigma on every stage but the last")
    given = [sigma for sigma in handoffs if sigma is not None]
    if any(later >= earlier for earlier, later in itertools.pairwise(given)) or 0.0 in given:
        raise _bad_arm(text, "handoff sigmas above 0 that fall from stage to stage")
    return stages


def wire_of(text: str) -> str:
    """The dtype on the wire that an arm's name states, empty where it states none."""
    return text.partition(_WIRE)[2].strip()


def format_arm(stages: Iterable[ArmStage], wire_dtype: WireDtype | None = None) -> str:
    """The name of an arm; the inverse of `parse_arm` and `wire_of`."""
    return "+".join(_format_stage(stage) for stage in stages) + (f"{_WIRE}{wire_dtype}" if wire_dtype else "")


def arm_of(configuration: Configuration) -> str:
    """The arm's name as its stages give it."""
    return format_arm(ArmStage(s.member, s.steps, s.sigma_to or None) for s in configuration.stages)


def _parse_stage(part: str, text: str) -> ArmStage:
    match = _STAGE.fullmatch(part)
    if match is None:
        raise _bad_arm(text, "member:steps[@sigma] joined by +")
    steps = int(match["steps"])
    if not 1 <= steps <= 200:
        raise _bad_arm(text, "1 to 200 steps per stage")
    return ArmStage(match["member"], steps, float(match["sigma"]) if match["sigma"] else None)


def _format_stage(stage: ArmStage) -> str:
    # repr is the shortest text that reads back as the same float; ".0" is cut off for people.
    sigma = "" if stage.until_sigma is None else "@" + repr(float(stage.until_sigma)).removesuffix(".0")
    return f"{stage.member}:{stage.steps}{sigma}"


def _bad_arm(text: str, wanted: str) -> errors.InvalidInput:
    return errors.InvalidInput("relay", wanted, text, "for example large:6@1.2+finisher:6")
