"""A family, workers and jobs to ask about; every test states what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Configure, Heartbeat, JobRequest, LinkQuality, Outcome
from rise_contracts.model import Tier
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.context import FEATURES
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
from rise_scheduler.learned import Learned
from rise_scheduler.placing import Candidate
from rise_scheduler.policies import FixedPolicy, Policy, Question
from rise_scheduler.posterior import Posterior
from rise_scheduler.prompt import prompt_features

ACCEPTED_AT = 1000.0


def family(**changes: Any) -> ModelFamily:
    """Three members: `large` on the edge, `small` and `finisher` (sigma 1.5 and below) on devices; two relays."""
    spec: dict[str, Any] = {
        "base": {"builtin": "rise-shapes"},
        "members": [
            {"name": "large", "parameters": 16_000_000, "defaultSteps": 20, "tier": "edge"},
            {"name": "small", "parameters": 1_000_000, "defaultSteps": 20, "tier": "device"},
            {"name": "finisher", "parameters": 1_000_000, "defaultSteps": 6, "sigmaMax": 1.5, "tier": "device"},
        ],
        "latent": {"channels": 4, "downscale": 4, "scalingFactor": 1.0},
        "defaultSize": 64,
        "relays": [
            {
                "name": "balanced",
                "stages": [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "finisher", "steps": 6}],
            },
            {
                "name": "cheap",
                "stages": [{"member": "large", "steps": 3, "untilSigma": 1.5}, {"member": "finisher", "steps": 6}],
                "wireDtype": "q8",
            },
        ],
    }
    spec.update(changes)
    return ModelFamily.model_validate({"metadata": {"name": "rise-shapes"}, "spec": spec})


def worker(name: str = "edge-0", tier: Tier = "edge", **changes: Any) -> Heartbeat:
    """A ready worker of the pool named as its tier, with every member of that tier loaded and measured."""
    members = ("large",) if tier == "edge" else ("small", "finisher")
    values: dict[str, Any] = {
        "worker": name,
        "tier": tier,
        "pool": tier,
        "pid": 1,
        "at": ACCEPTED_AT,
        "members": members,
        "seconds_per_step": {"large": 0.1} if tier == "edge" else {"small": 0.02, "finisher": 0.02},
        "link": LinkQuality(rtt_s=0.001, bytes_per_s=1e6),
    }
    return Heartbeat.model_validate(values | changes)


def fleet(*workers: Heartbeat) -> Fleet:
    """These workers, or one of each tier."""
    return Fleet(workers or (worker(), worker("device-0", "device")))


def question(attempt: int = 1, avoid: tuple[str, ...] = (), job_id: str = "job-1", **spec: Any) -> Configure:
    """A job's question; the keywords are fields of its spec."""
    values = {"prompt": "a small red circle above a large blue square"} | spec
    request = JobRequest(job_id=job_id, spec=RelayJobSpec.model_validate(values), seed=7, accepted_at=ACCEPTED_AT)
    return Configure(request=request, attempt=attempt, avoid=avoid)


def fixed(*stages: dict[str, Any], **relay: Any) -> dict[str, Any]:
    """The value of `relay` of a job that fixes its stages."""
    return {"mode": "Fixed", "stages": list(stages), **relay}


def nothing_learned() -> Posterior:
    """The posterior before the first outcome."""
    return Posterior(FEATURES)


def asking(candidates: Sequence[Candidate], of: ModelFamily | None = None, **changes: Any) -> Question:
    """What a policy is asked about ``candidates`` before anything was learned."""
    prompt = "a small red circle above a large blue square"
    values: dict[str, Any] = {
        "candidates": candidates,
        "x": np.array([1.0, 0.1, 0.5, 0.0, 0.0, 0.0]),
        "prompt": prompt_features(prompt),
        "learned": Learned(),
        "family": of or family(),
        "preference": 0.5,
        "draw": "7/job-1/1",
        "reference_s": 2.0,
    }
    return Question(**(values | changes))


def decided(
    asked: Configure | None = None,
    *,
    of: ModelFamily | None = None,
    among: Fleet | None = None,
    policy: Policy | None = None,
    learned: Learned | None = None,
    decision_id: str = "d1",
    at: float = ACCEPTED_AT,
) -> DecisionRecord:
    """Decide with defaults for all that is not said."""
    return decide(
        asked or question(),
        of or family(),
        among or fleet(),
        learned or Learned(),
        policy or FixedPolicy(),
        decision_id=decision_id,
        at=at,
    ).record


def outcome_of(record: DecisionRecord, latency_s: float = 1.0, **changes: Any) -> Outcome:
    """The outcome of a decision, as the driver reports it."""
    decision = record.decision
    values: dict[str, Any] = {
        "decision_id": decision.id,
        "job_id": decision.job_id,
        "arm": decision.arm,
        "policy": decision.policy,
        "context": decision.context,
        "preference": record.preference,
        "latency_s": latency_s,
        "edge_s": 0.5,
    }
    return Outcome.model_validate(values | changes)
