"""What was true since when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.status import Condition
from rise_operator.conditions import LONGEST, Finding, find, is_true, merged, rfc3339
from rise_operator.seen import timestamp
from tests.unit.operator.builders import NOW

findings = st.builds(
    Finding,
    type=st.sampled_from(["Accepted", "Ready", "Complete"]),
    status=st.booleans(),
    reason=st.sampled_from(["Accepted", "Loading", "Done"]),
    message=st.text(max_size=2000),
)
lists = st.lists(findings, unique_by=lambda finding: finding.type)


def test_the_time_moves_when_the_status_does_and_with_nothing_else() -> None:
    first = merged([Finding("Ready", False, "Loading", "one")], (), generation=1, now=NOW)
    assert first[0].last_transition_time == rfc3339(NOW)
    told_otherwise = merged([Finding("Ready", False, "NoNode", "two")], first, generation=2, now=NOW + 60)
    assert (told_otherwise[0].reason, told_otherwise[0].observed_generation) == ("NoNode", 2)
    assert told_otherwise[0].last_transition_time == rfc3339(NOW)
    turned = merged([Finding("Ready", True, "Ready")], told_otherwise, generation=2, now=NOW + 120)
    assert turned[0].last_transition_time == rfc3339(NOW + 120)


@given(lists, lists, st.integers(0, 9))
def test_what_is_found_is_what_is_said_whatever_was_said_before(
    before: list[Finding], now: list[Finding], generation: int
) -> None:
    old = merged(before, (), generation=1, now=NOW)
    new = merged(now, old, generation=generation, now=NOW + 60)
    assert [(c.type, c.status, c.reason) for c in new] == [
        (f.type, "True" if f.status else "False", f.reason) for f in now
    ]
    for condition, finding in zip(new, now, strict=True):
        there = find(old, condition.type)
        same = there is not None and there.status == condition.status
        assert condition.last_transition_time == rfc3339(NOW if same else NOW + 60)
        assert condition.message == finding.message[:LONGEST]
        assert condition.observed_generation == generation
        assert Condition.model_validate(condition.model_dump()) == condition
    assert merged(now, new, generation=generation, now=NOW + 120) == new, "the same found again is no news"


def test_a_condition_is_true_only_where_it_is_there_and_says_so() -> None:
    made = merged([Finding("Ready", True, "Ready"), Finding("Accepted", False, "No")], (), generation=1, now=NOW)
    assert is_true(made, "Ready")
    assert not is_true(made, "Accepted")
    assert not is_true(made, "Complete")
    assert find(made, "Complete") is None


@given(st.integers(0, 4_000_000_000))
def test_times_are_read_as_they_are_written(seconds: int) -> None:
    assert timestamp(rfc3339(float(seconds))) == seconds
