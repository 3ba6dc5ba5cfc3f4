"""Between messages and the composed policy: what a decision was based on, and what its outcome tells. Pure."""

from __future__ import annotations

import math

from rise_contracts.decisions import Basis, DecisionRecord
from rise_contracts.messages import Outcome
from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import kind_of
from rise_scheduler.composed.features import design_for
from rise_scheduler.composed.knowledge import Knowledge, Observation
from rise_scheduler.learn import fits, own_latency
from rise_scheduler.placing import Candidate
from rise_scheduler.prompt import PromptFeatures


def basis_of(
    candidate: Candidate, family: ModelFamily, prompt: PromptFeatures, known: Knowledge, reference_s: float
) -> Basis:
    """What a decision for ``candidate`` is based on."""
    design, forecast = design_for(family), candidate.forecast
    static, base = design.rows_of([candidate.arm])
    row = design.matrix(static, prompt)[0]
    return Basis(
        clock=known.clock,
        features={name: float(value) for name, value in zip(design.names, row, strict=True) if value},
        quality=float(base[0]),
        reference_s=reference_s,
        stage_seconds=forecast.stage_seconds,
        waits=forecast.waits,
        moves=forecast.moves,
        loads=forecast.loads,
    )


def observed(record: DecisionRecord, outcome: Outcome) -> Observation | None:
    """What ``outcome`` tells, or None where the decision left nothing to learn from, or they do not fit, or a number is
    out of range: such an outcome must not come near the sums."""
    basis, decision = record.basis, record.decision
    if basis is None or not fits(record, outcome) or not math.isfinite(outcome.wait_s):
        return None
    stages = decision.configuration.stages
    seconds, loading = _without_loads(basis, outcome)
    return Observation(
        decision_id=decision.id,
        clock=basis.clock,
        arm=decision.arm,
        kind=kind_of([stage.tier for stage in stages]),
        members=tuple(stage.member for stage in stages),
        pool=stages[0].pool,
        features=basis.features,
        base_quality=basis.quality,
        reference_s=basis.reference_s,
        keys=tuple(f"{stage.pool}/{stage.member}" for stage in stages),
        predicted=basis.stage_seconds,
        waits=basis.waits,
        moves=basis.moves,
        latency_s=max(own_latency(record, outcome) - loading, 0.0),
        seconds=seconds,
        wait_s=max(outcome.wait_s - record.waited_s, 0.0),  # what came before the decision is none of its doing
        quality=outcome.quality,
        failed=outcome.failed,
        settled=None if record.outcome is None else record.outcome.failed or record.outcome.quality is not None,
    )


def _without_loads(basis: Basis, outcome: Outcome) -> tuple[tuple[float, ...], float]:
    """What each stage took without loading its member (empty where only the whole is known), and the seconds of all
    loading: as measured, or as expected where no stage tells. A member that was cold says nothing of how fast it is."""
    told, loads = outcome.stage_seconds, outcome.load_seconds
    if len(told) != len(basis.stage_seconds):
        return (), sum(basis.loads)
    if len(loads) != len(told):
        return told, 0.0  # from an older release
    return tuple(max(whole - load, 0.0) for whole, load in zip(told, loads, strict=True)), sum(loads)
