"""The decision log: why a job got its configuration, and what came of it. One record per decision, kept for some
days.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from rise_contracts.messages import Attempt, Decision, Outcome, Predictions
from rise_contracts.model import Message, Name, Part, Seconds

POLICIES: Final = ("composed", "fixed", "linucb")
"""How a scheduler may choose; the first is the default."""


class Candidate(Part):
    """One arm as it was seen: why it was left out (`masked`, empty where it was not), what was predicted, how it was
    ranked.

    `mean`, `width` and `score` are those of a policy that learns: mean reward, its deviation, and what ranks it, which
    is `mean` + `bonus` (for what is not known well) - `price` (of the edge's time, where the policy charges one).
    """

    arm: str
    kind: str
    masked: str = ""
    predictions: Predictions = Predictions()
    mean: float | None = None
    width: float | None = None
    bonus: float | None = None
    price: float | None = None
    score: float | None = None


class Settlement(Part):
    """How the outcome was credited; `final` is False while `quality` is an estimate that a measured one may yet
    correct.
    """

    quality: float
    final: bool


class Basis(Part):
    """What the chosen arm was expected to do before anything learned was put to it, so that its outcome can be learned
    from later and elsewhere.

    `clock` is how many outcomes were known; `features` are those of arm and prompt (0 left out), `quality` what sizes
    and steps let expect, the seconds those of the formula: each stage, the wait before it, each handoff, and the
    loading of each stage's member (empty: nothing to load).
    """

    clock: int = Field(ge=0)
    features: dict[str, float]
    quality: float
    reference_s: float = Field(gt=0, description="the latency of the whole job that counts as 1")
    stage_seconds: tuple[Seconds | None, ...]
    waits: tuple[Seconds, ...]
    moves: tuple[Seconds, ...]
    loads: tuple[Seconds, ...] = ()


class DecisionRecord(Message):
    """`learns` is the arm whose record this decision's outcome is added to; empty where nothing is learned from it."""

    decision: Decision
    family: Name
    attempt: Attempt
    images: int = Field(ge=1)
    preference: float = Field(ge=0, le=1)
    reference_s: Seconds | None = Field(
        default=None, description="predicted latency of one image by the base member alone"
    )
    expected_quality: float
    learns: str = ""
    candidates: tuple[Candidate, ...] = ()
    basis: Basis | None = None
    at: float
    waited_s: Seconds = Field(default=0.0, description="from the job's acceptance until this decision")
    outcome: Outcome | None = None
    settlement: Settlement | None = None
