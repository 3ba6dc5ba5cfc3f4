"""Decisions as the log has them; every test states what it changes."""

from __future__ import annotations

from typing import Any

from rise_contracts.decisions import Basis, Candidate, DecisionRecord
from rise_contracts.messages import Outcome, Predictions
from tests.unit.cli import builders

ARM = builders.CONFIGURATION.arm


def candidate(arm: str = ARM, score: float | None = 0.5, **changes: Any) -> Candidate:
    """An arm that a policy which learns has ranked: its mean is 0.1 below its score."""
    values: dict[str, Any] = {
        "arm": arm,
        "kind": "relay" if "+" in arm else "edge-only",
        "predictions": Predictions(latency_s=1.2, edge_s=0.6, quality=0.8, stage_seconds=(0.6, 0.12)),
    }
    if score is not None:
        values |= {"mean": score - 0.1, "width": 0.15, "bonus": 0.15, "price": 0.05, "score": score}
    return Candidate.model_validate(values | changes)


def record(*candidates: Candidate, policy: str = "composed", propensity: float = 1.0, **changes: Any) -> DecisionRecord:
    """A decision for `ARM` among these candidates (or it alone)."""
    decision = builders.decision().model_copy(
        update={
            "policy": policy,
            "propensity": propensity,
            "predictions": Predictions(latency_s=1.2, edge_s=0.6, quality=0.8, stage_seconds=(0.6, 0.12)),
        }
    )
    values: dict[str, Any] = {
        "decision": decision,
        "family": "tiny",
        "attempt": 1,
        "images": 1,
        "preference": 0.5,
        "expected_quality": 0.7,
        "at": 1000.0,
        "waited_s": 0.25,
        "candidates": candidates or (candidate(),),
        "basis": Basis(
            clock=3, features={}, quality=0.7, reference_s=2.0, stage_seconds=(0.6, 0.12), waits=(0, 0), moves=(0.0,)
        ),
    }
    return DecisionRecord.model_validate(values | changes)


def outcome(latency_s: float = 1.45, **changes: Any) -> Outcome:
    """What came of it; 0.25 s of the latency were before the decision."""
    values: dict[str, Any] = {
        "decision_id": "d1",
        "job_id": "job-1",
        "arm": ARM,
        "latency_s": latency_s,
        "edge_s": 0.6,
        "stage_seconds": (0.7, 0.13),
    }
    return Outcome.model_validate(values | changes)
