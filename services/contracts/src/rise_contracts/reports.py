"""What the scheduler says of itself when it is asked: its fleet, its policy, and what it made of an outcome."""

from __future__ import annotations

from pydantic import Field

from rise_contracts.decisions import Candidate
from rise_contracts.messages import Heartbeat
from rise_contracts.model import Message, Name, Part, Seconds


class TierReport(Part):
    """The workers of one tier. `load` is 0 (idle) towards 1: L / (1 + L) with L tasks waiting or running per slot."""

    ready: int = Field(ge=0)
    load: float = Field(ge=0, le=1)
    workers: tuple[Heartbeat, ...] = ()


class FleetReport(Message):
    """The workers that gave a heartbeat lately."""

    at: float
    edge: TierReport
    device: TierReport


class ArmReport(Part):
    """One arm: how an ordinary job would see it now, and what was learned of it.

    `outcomes` counts what its own record holds, `quality` is the mean of what was measured; None while nothing was.
    """

    seen: Candidate
    outcomes: int = Field(default=0, ge=0)
    quality: float | None = None


class SlownessReport(Part):
    """Of a stage or a wait: its measured over its predicted seconds (`what` is "pool/member", or "wait/pool"); of
    "rest/kind": what no prediction covers, as a share of the reference latency. `deviation` is of the factor's
    logarithm, or of that share."""

    what: str
    factor: float
    deviation: float


class FamilyReport(Part):
    """One family. `chosen` is the arm that an ordinary job (preference 0.5) would get now; where none can run it is
    empty, and `waits` says what is missing.

    `price` is utility per reference latency of edge work; None for a policy that charges none.
    """

    family: Name
    outcomes: int = Field(default=0, ge=0)
    reference_s: Seconds | None = Field(default=None, description="latency of one image that counts as 1")
    context: dict[str, float] = Field(default_factory=dict)
    chosen: str = ""
    propensity: float | None = None
    waits: str = ""
    price: float | None = None
    slowness: tuple[SlownessReport, ...] = ()
    arms: tuple[ArmReport, ...] = ()


class AskPolicy(Message):
    """The question that a PolicyReport answers."""


class PolicyReport(Message):
    """How the scheduler chooses, and what it has learned, by family."""

    at: float
    policy: str
    families: tuple[FamilyReport, ...] = ()


class OutcomeReceipt(Message):
    """What an outcome did: `verdict` is a word for programs, `explanation` the same for people.

    An outcome that was learned from before is answered with `replayed`: sending it again does no harm.
    """

    decision_id: str
    verdict: str
    explanation: str
