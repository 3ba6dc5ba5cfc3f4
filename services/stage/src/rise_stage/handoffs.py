"""A task's latents as bytes and back: what goes to the next stage, and what a stage keeps of itself."""

from __future__ import annotations

from rise_contracts.handoff import HandoffHeader
from rise_contracts.messages import StageTask
from rise_contracts.model import WireDtype
from rise_stage.engine.engine import Engine
from rise_stage.engine.latents import Expected, Latent, Origin, encode_handoff


def packed(engine: Engine, task: StageTask, latent: Latent, dtype: WireDtype) -> tuple[HandoffHeader, bytes]:
    """The header and payload of a latent that the task's stage made. Raises HandoffRefused, PayloadTooLarge."""
    origin = Origin(task.job_id, task.attempt, task.stage_index)
    family, solver = task.request.spec.family, task.configuration.solver
    return encode_handoff(latent, origin, family, engine.latent_contract, dtype, solver)


def expected(engine: Engine, task: StageTask, made_by: int, dtype: WireDtype, sigma: float | None) -> Expected:
    """What the task's stage can take of a latent that stage `made_by` made, at `sigma`."""
    spec, stage = task.request.spec, task.configuration.stages[task.stage_index]
    size = engine.size(spec.width, spec.height)
    return Expected(
        origin=Origin(task.job_id, task.attempt, made_by),
        family=spec.family,
        latent_contract=engine.latent_contract,
        shape=(spec.images, *engine.latent_shape(size, spec.frames)),
        dtype=dtype,
        solver=task.configuration.solver,
        sigma=sigma,
        sigma_max=engine.member(stage.member).sigma_max,
        flow=engine.family.flow,
    )
