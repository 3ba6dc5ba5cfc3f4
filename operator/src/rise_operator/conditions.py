"""Lists of conditions: what was true since when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from rise_contracts.status import Condition

LONGEST = 1024


class Finding(NamedTuple):
    """What is found now; a condition is a finding with the time at which it last changed."""

    type: str
    status: bool
    reason: str
    message: str = ""


def merged(
    findings: Iterable[Finding], before: Iterable[Condition], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """The conditions that say `findings`. The time of transition moves with the status alone (KEP-1623)."""
    old = {condition.type: condition for condition in before}
    return tuple(_merged(finding, old.get(finding.type), generation, now) for finding in findings)


def find(conditions: Iterable[Condition], name: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == name), None)


def is_true(conditions: Iterable[Condition], name: str) -> bool:
    found = find(conditions, name)
    return found is not None and found.status == "True"


def rfc3339(seconds: float) -> str:
    """A time as the API writes it, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _merged(finding: Finding, old: Condition | None, generation: int, now: float) -> Condition:
    status = "True" if finding.status else "False"
    return Condition(
        type=finding.type,
        status="True" if finding.status else "False",
        reason=finding.reason,
        message=finding.message[:LONGEST],
        last_transition_time=old.last_transition_time if old is not None and old.status == status else rfc3339(now),
        observed_generation=generation,
    )
