"""Parts of several resources: names, labels, bounds, and how a job is cut into stages."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rise_contracts.model import Name, Resource, Solver, Tier, WireDtype
from rise_contracts.rules import LABEL, STAGES, rules

API_VERSION: Literal["rise-relay.io/v1alpha1"] = "rise-relay.io/v1alpha1"


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """ValueError unless every key is a name that a label may have."""
    wrong = next((key for key in labels if not re.fullmatch(LABEL, key)), None)
    if wrong is not None:
        raise ValueError(f"names of labels are letters, digits, -, _ and ., with a prefix/ or without, got {wrong!r}")
    return labels


Steps = Annotated[int, Field(ge=1, le=200)]
Pixels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]
Frames = Annotated[int, Field(ge=1, le=257)]
Guidance = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64), AfterValidator(check_labels)]
Notes = Annotated[dict[str, str], Field(max_length=64)]
Handoff = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""The noise level of a handoff: above zero, where the last stage ends."""


class Metadata(Resource):
    name: Name = "job"
    namespace: Name = "default"
    uid: str = Field(default="", max_length=64)
    labels: Labels = Field(default_factory=dict)
    annotations: Notes = Field(default_factory=dict)


class StageSpec(Resource):
    """One stage of a fixed relay. All but the last say where they stop (`untilSigma`)."""

    member: Name = Field(description="The member of the family that computes it.")
    tier: Tier | None = Field(default=None, description="Where it runs. Unset: where its member is at home.")
    steps: Steps = Field(description="Denoising steps, 1 to 200.")
    until_sigma: Handoff | None = Field(
        default=None, description="The noise level (sigma, standard deviation of the noise) at which it hands over."
    )


def check_stages(stages: tuple[StageSpec, ...]) -> None:
    """ValueError unless handoff sigmas are given for all stages but the last, and fall from stage to stage."""
    handoffs = [stage.until_sigma for stage in stages[:-1]]
    given = [sigma for sigma in handoffs if sigma is not None]
    if len(given) != len(handoffs):
        raise ValueError("every stage but the last needs untilSigma, the noise level at which it hands over")
    if stages[-1].until_sigma is not None:
        raise ValueError("the last stage must not have untilSigma: it runs to the end")
    if any(later >= earlier for earlier, later in itertools.pairwise(given)):
        raise ValueError(f"untilSigma must fall from stage to stage, got {given}")


OwnSolver = Annotated[Solver | None, Field(description="How a step is taken. Unset: as the family says.")]
OwnWireDtype = Annotated[
    WireDtype | None, Field(description="Numbers of the latent on its way; q8 is 8 bits and a scale. Unset: fp16.")
]


class RelaySpec(Resource):
    """How the job is cut. `Auto` leaves it to the scheduler; `Fixed` names the stages."""

    model_config = rules(
        (
            "self.mode != 'Auto' || size(self.stages) == 0",
            "stages are only for mode Fixed; say mode: Fixed, or leave them out",
        ),
        ("self.mode != 'Fixed' || size(self.stages) > 0", "mode Fixed needs at least one stage"),
        *STAGES,
    )

    mode: Literal["Auto", "Fixed"] = Field(
        default="Auto", description="Auto: the scheduler chooses members, handoff and steps. Fixed: `stages` says them."
    )
    stages: Annotated[tuple[StageSpec, ...], Field(max_length=8)] = Field(
        default=(),
        description="In their order, at most 8; for mode Fixed only. untilSigma falls from each to the next.",
    )
    solver: OwnSolver = None
    wire_dtype: OwnWireDtype = None

    @model_validator(mode="after")
    def _stages_fit_mode(self) -> Self:
        if self.mode == "Auto":
            if self.stages:
                raise ValueError("stages are only for mode Fixed; say mode: Fixed, or leave the stages out")
        elif not self.stages:
            raise ValueError("mode Fixed needs at least one stage")
        else:
            check_stages(self.stages)
        return self
