from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.messages import LinkQuality
from rise_scheduler.fleet import Fleet
from rise_scheduler.place import Place
from rise_scheduler.reckoning import KEPT, Reckoning, Sent, stages_sent
from tests.unit.scheduler.builders import ACCEPTED_AT, decided, fleet, question, worker

AT = ACCEPTED_AT


def test_a_relay_is_on_the_edge_first_and_then_on_the_device() -> None:
    head, tail = stages_sent(decided())
    assert (head.pool, head.begins) == ("edge", AT)
    assert abs(head.ends - head.begins - 6 * 0.1) < 1e-9
    assert tail.pool == "device"
    assert tail.begins > head.ends, "the handoff takes its time"


def test_what_was_sent_is_work_left_until_it_should_be_done() -> None:
    reckoning = Reckoning()
    for name in ("d1", "d2"):
        reckoning.note(decided(decision_id=name))
    assert abs(reckoning.backlogs(AT)["edge"] - 1.2) < 1e-9
    assert abs(reckoning.backlogs(AT + 0.3)["edge"] - 0.6) < 1e-9
    assert reckoning.backlogs(AT + 60) == {}


def test_a_job_that_ended_leaves_nothing_behind() -> None:
    reckoning = Reckoning()
    reckoning.note(decided())
    reckoning.over("d1")
    assert reckoning.backlogs(AT) == {}


def test_only_the_youngest_are_reckoned_and_an_older_job_ends_nothing_of_theirs() -> None:
    reckoning = Reckoning()
    jobs = KEPT // 2 + 3  # two stages each
    record = decided()
    for index in range(jobs):
        decision = record.decision.model_copy(update={"id": f"d{index}"})
        reckoning.note(record.model_copy(update={"decision": decision}))
    assert reckoning.backlogs(AT)["edge"] == pytest.approx(0.6 * KEPT / 2)
    for index in range(3):
        reckoning.over(f"d{index}")
    assert reckoning.backlogs(AT)["edge"] == pytest.approx(0.6 * KEPT / 2)
    for index in range(3, jobs):
        reckoning.over(f"d{index}")
    assert reckoning.backlogs(AT) == {}


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 50), st.booleans()), max_size=30),
    st.floats(-50, 100),
)
def test_what_is_left_is_the_sum_over_what_was_sent_and_has_not_ended(
    jobs: list[tuple[int, float, bool]], after: float
) -> None:
    reckoning, sent = Reckoning(), list[Sent]()
    for number, (name, at, ends) in enumerate(jobs):
        record = decided(decision_id=f"d{number}-{name}", at=AT + at)
        reckoning.note(record)
        if ends:
            reckoning.over(record.decision.id)
        else:
            sent += stages_sent(record)
    now = AT + after
    wanted = {
        pool: sum(max(each.ends - max(now, each.begins), 0.0) for each in sent if each.pool == pool)
        for pool in ("edge", "device")
    }
    left = reckoning.backlogs(now)
    assert {pool: left.get(pool, 0.0) for pool in wanted} == pytest.approx(wanted)


def test_a_clock_that_steps_back_makes_no_work_longer() -> None:
    reckoning = Reckoning()
    reckoning.note(decided())
    assert reckoning.backlogs(AT - 3600)["edge"] <= 0.6 + 1e-9


def test_a_job_without_a_forecast_is_not_reckoned() -> None:
    unmeasured = fleet(worker(seconds_per_step={}), worker("device-0", "device"))
    assert stages_sent(decided(question(), among=unmeasured)) == ()


def test_jobs_sent_since_the_last_heartbeat_count_as_waiting() -> None:
    seen = fleet().place("edge", "rise-shapes", "large")
    reckoned = Fleet(fleet().workers, {"edge": 3.0}).place("edge", "rise-shapes", "large")
    assert isinstance(seen, Place)
    assert isinstance(reckoned, Place)
    assert (seen.backlog_s, reckoned.backlog_s) == (None, 3.0)


def test_work_is_shared_by_the_workers_of_a_pool() -> None:
    two = Fleet((worker(), worker("edge-1")), {"edge": 3.0}).place("edge", "rise-shapes", "large")
    assert isinstance(two, Place)
    assert two.backlog_s == 1.5


def test_bursts_do_not_herd_to_the_worker_that_was_idle() -> None:
    """Two edge pools, one a little faster: within one heartbeat's time both get jobs."""
    link = LinkQuality(rtt_s=0.001, bytes_per_s=1e6)
    fast = worker("a", pool="a", seconds_per_step={"large": 0.10}, link=link)
    slow = worker("b", pool="b", seconds_per_step={"large": 0.11}, link=link)
    reckoning, chosen = Reckoning(), []
    for index in range(6):
        among = Fleet((fast, slow, worker("device-0", "device")), reckoning.backlogs(AT))
        record = decided(question(job_id=f"job-{index}"), among=among, decision_id=f"d{index}")
        reckoning.note(record)
        chosen.append(record.decision.configuration.stages[0].pool)
    assert set(chosen) == {"a", "b"}


def test_a_member_that_has_to_be_loaded_keeps_its_worker_busy_meanwhile() -> None:
    cold = worker(members=(), load_seconds={"large": 3.0})
    head, tail = stages_sent(decided(among=fleet(cold, worker("device-0", "device", members=()))))
    assert head.ends - head.begins == pytest.approx(3.6)
    assert tail.begins > head.ends
