from __future__ import annotations

from rise_contracts.messages import LinkQuality
from rise_scheduler.fleet import Fleet, Place
from rise_scheduler.reckoning import Reckoning, stages_sent
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
