from __future__ import annotations

import math

import pytest

from rise_contracts.messages import Heartbeat, LinkQuality
from rise_scheduler.fleet import Fleet
from rise_scheduler.pace import names_of, seconds_per_step
from rise_scheduler.place import Place
from tests.unit.scheduler.builders import decided, fleet, question, worker

FAMILY = "rise-shapes"


def placed(among: Fleet, member: str = "finisher", **options: object) -> Place:
    place = among.place("device", FAMILY, member, **options)  # type: ignore[arg-type]
    assert isinstance(place, Place), place
    return place


def test_a_tier_without_ready_workers_says_so() -> None:
    assert Fleet().place("edge", FAMILY, "large") == "no edge worker is ready"
    loading = fleet(worker(ready=False))
    assert loading.place("edge", FAMILY, "large") == "no edge worker is ready"


def test_a_pool_that_holds_the_member_comes_first_then_the_less_busy_then_the_name() -> None:
    cold = worker("d0", "device", pool="cold", members=())
    busy = worker("d1", "device", pool="busy", queue_depth=3)
    idle = worker("d2", "device", pool="idle")
    other = worker("d3", "device", pool="other")
    assert placed(Fleet((cold, busy, idle, other))).pool == "idle"
    assert placed(Fleet((cold, busy))).pool == "busy"
    assert placed(Fleet((cold,))).loaded is False


def test_any_worker_of_the_pool_unless_some_will_not_do() -> None:
    d0, d1 = worker("d0", "device"), worker("d1", "device")
    assert placed(Fleet((d0, d1))).worker is None
    assert placed(Fleet((d0, d1)), avoid=("d0",)).worker == "d1"
    assert placed(Fleet((d0, d1)), avoid=("d0", "d1")).worker is None
    assert placed(Fleet((d0,)), avoid=("d0",)).worker is None


def test_a_job_goes_to_a_worker_by_name_while_one_that_failed_it_is_out_of_sight() -> None:
    """A device that was cut off may take what is for anybody all the same."""
    d0, d1 = worker("d0", "device"), worker("d1", "device")
    assert placed(Fleet((d0, d1)), avoid=("gone",)).worker == "d0"


def test_somebodys_own_device_is_there_for_those_who_select_it() -> None:
    mine, shared = worker("d0", "device", labels={"owner": "ada"}, private=True), worker("d1", "device")
    both, hers = Fleet((mine, shared)), {"owner": "ada"}
    assert both.open_to(question().request).workers == (shared,)
    assert both.open_to(question(deviceSelector=hers).request).workers == (mine, shared)
    assert both.open_to(question(deviceSelector={"owner": "bob"}).request).workers == (shared,)
    assert placed(Fleet((mine,)), selector=hers).worker == "d0"


def test_a_selector_binds_to_the_worker_with_the_labels() -> None:
    mine = worker("d0", "device", labels={"owner": "ada", "os": "linux"})
    other = worker("d1", "device", labels={"owner": "bob"})
    assert placed(Fleet((mine, other)), selector={"owner": "ada"}).worker == "d0"
    missing = Fleet((mine, other)).place("device", FAMILY, "small", selector={"owner": "eve", "os": "linux"})
    assert missing == "no device worker has the labels owner=eve, os=linux"


def test_a_workers_name_and_pool_are_labels_that_no_other_can_claim() -> None:
    mine = worker("ada-phone", "device", pool="phones")
    claims = {"rise-relay.io/worker": "ada-phone", "rise-relay.io/pool": "phones"}
    liar = worker("d1", "device", labels=claims, private=True)
    for key, value in claims.items():
        assert placed(Fleet((liar, mine)), selector={key: value}).worker == "ada-phone"  # by name, though alone there
        assert Fleet((liar,)).open_to(question(deviceSelector={key: value}).request).workers == ()


def test_an_idle_holder_is_preferred_among_bound_workers() -> None:
    workers = (
        worker("d0", "device"),
        worker("d1", "device", busy_jobs=("job-9",)),
        worker("d2", "device"),
        worker("d3", "device", members=()),
    )
    assert placed(Fleet(workers), avoid=("d0",)).worker == "d2"


def test_waiting_is_the_queue_of_the_pool_per_worker_and_half_a_task_per_busy_one() -> None:
    workers = (worker("d0", "device", queue_depth=4, busy_jobs=("j",)), worker("d1", "device", queue_depth=3))
    assert placed(Fleet(workers)).waiting == pytest.approx((4 + 0.5) / 2)


def test_a_worker_with_several_slots_works_off_as_many_as_its_company_gains() -> None:
    """Jobs that share a worker share its time: only what company gains makes the wait shorter, not the slots."""
    busy = {"queue_depth": 2, "busy_jobs": ("a", "b", "c", "d")}
    for slots, gain, wanted in ((1, 1.0, 4.0), (8, 1.0, 4.0), (8, 2.0, 2.0), (8, 0.5, 4.0), (1, 2.0, 4.0)):
        among = Fleet((worker("d0", "device", slots=slots, gain=gain, **busy),))
        assert placed(among).waiting == pytest.approx(wanted), (slots, gain)


def test_the_worker_with_the_larger_part_of_its_slots_free_is_preferred() -> None:
    workers = (
        worker("d0", "device"),
        worker("d1", "device", slots=2, busy_jobs=("a",)),
        worker("d2", "device", slots=8, busy_jobs=("b", "c")),
        worker("d3", "device", busy_jobs=("d",)),
    )
    assert placed(Fleet(workers), avoid=("d0",)).worker == "d2"


def test_speeds_are_averaged_over_those_who_know_one() -> None:
    workers = (
        worker("d0", "device", seconds_per_step={"finisher": 0.1}),
        worker("d1", "device", seconds_per_step={"finisher": 0.3}),
        worker("d2", "device", seconds_per_step={}),
    )
    assert placed(Fleet(workers)).seconds_per_step == pytest.approx(0.2)
    assert placed(Fleet(workers), "small").seconds_per_step is None


def test_a_speed_may_be_stated_by_family_and_nonsense_is_no_speed() -> None:
    speeds = {"large": 9.0, "rise-shapes/large": 0.1, "small": 0.0, "finisher": math.inf}
    beat = worker().model_copy(update={"seconds_per_step": speeds})  # infinity is in no message that is read
    assert seconds_per_step(beat, names_of("rise-shapes", "large")) == 0.1
    assert seconds_per_step(beat, names_of("other", "large")) == 9.0
    assert seconds_per_step(beat, names_of("other", "small")) is None
    assert seconds_per_step(beat, names_of("other", "finisher")) is None


def test_load_grows_with_tasks_and_stays_below_1() -> None:
    loads = [fleet(worker(queue_depth=depth)).load("edge") for depth in (0, 1, 3, 1000)]
    assert loads[:3] == [0.0, 0.5, 0.75]
    assert loads[2] < loads[3] < 1.0
    assert fleet(worker(busy_jobs=("j",))).load("edge") == 0.5
    assert fleet(worker()).load("device") == 0.0
    assert fleet(worker(slots=4, busy_jobs=("j", "k"))).load("edge") == pytest.approx(0.5 / 1.5)


def test_the_queue_of_a_pool_is_counted_once_whoever_reports_it() -> None:
    one = fleet(worker("e0", queue_depth=2), worker("e1", queue_depth=2))
    assert one.load("edge") == pytest.approx(0.5)


def test_the_middle_of_the_measured_rates() -> None:
    def beat(name: str, rate: float | None) -> object:
        return worker(name, link=LinkQuality(rtt_s=0.001, bytes_per_s=rate))

    rates = [beat("e0", 1e6), beat("e1", 9e6), beat("e2", 3e6), beat("e3", None)]
    assert Fleet(tuple(rates)).bytes_per_s() == 3e6  # type: ignore[arg-type]
    assert fleet(worker(link=None)).bytes_per_s() is None


def names(among: Fleet) -> list[str]:
    return [beat.worker for beat in among.workers]


def test_workers_that_are_there_for_one_job_are_open_to_no_other() -> None:
    mixed = Fleet((worker("e0"), worker("e1", dedicated="job-1"), worker("e2", dedicated="job-2")))
    assert names(mixed.open_to(question(job_id="job-3").request)) == ["e0"]
    assert names(mixed.open_to(question(job_id="job-1").request)) == ["e0"], "the job has to ask for workers of its own"
    assert names(mixed.open_to(question(job_id="job-1", placement="Dedicated").request)) == ["e1"]
    assert names(mixed.open_to(question(job_id="job-3", placement="Dedicated").request)) == []


def test_a_job_is_bound_to_its_own_workers_for_others_share_their_queue() -> None:
    own = worker("d1", "device", pool="dedicated-device", dedicated="job-1")
    assert placed(Fleet((own,))).worker == "d1"
    assert placed(Fleet((worker("d1", "device", pool="dedicated-device"),))).worker is None


def test_every_stage_of_such_a_job_is_bound() -> None:
    asked = question(job_id="job-1", placement="Dedicated", preference=1.0)
    mixed = Fleet(
        (
            worker("e0"),
            worker("device-0", "device"),
            worker("e1", pool="dedicated-edge", dedicated="job-1"),
            worker("d1", "device", pool="dedicated-device", dedicated="job-1"),
            worker("e2", pool="dedicated-edge", dedicated="job-2"),
        )
    )
    configuration = decided(asked, among=mixed.open_to(asked.request)).decision.configuration
    assert [(stage.pool, stage.worker) for stage in configuration.stages] == [
        ("dedicated-edge", "e1"),
        ("dedicated-device", "d1"),
    ]


def loading(name: str, seconds: float, **changes: object) -> Heartbeat:
    """A device that knows its members' paces and holds none."""
    loads = {"finisher": seconds, "small": seconds}
    return worker(name, "device", members=(), load_seconds=loads, **changes)


def test_a_job_goes_by_name_to_who_holds_the_member_while_that_is_sooner() -> None:
    cold, holder = loading("d0", 4.0), worker("d1", "device")
    found = placed(Fleet((cold, holder)))
    assert (found.worker, found.load.seconds, found.loaded) == ("d1", 0.0, True)
    busy = worker("d1", "device", queue_depth=20, busy_jobs=("a",))
    found = placed(Fleet((cold, busy)))
    assert (found.worker, found.load.seconds, found.loaded) == (None, 2.0, True)


def test_a_burst_does_not_wait_for_the_one_who_holds_the_member() -> None:
    workers = (loading("d0", 4.0), worker("d1", "device"))
    assert placed(Fleet(workers, {"device": 0.0})).worker == "d1"
    assert placed(Fleet(workers, {"device": 60.0})).worker is None


def test_nobody_is_named_to_save_a_moment() -> None:
    assert placed(Fleet((loading("d0", 0.2), worker("d1", "device")))).worker is None


def test_a_pool_that_has_to_load_is_taken_where_the_other_would_take_longer() -> None:
    cold, busy = loading("d0", 1.0, pool="cold"), worker("d1", "device", pool="busy", queue_depth=20)
    found = placed(Fleet((cold, busy)))
    assert (found.pool, found.loaded, found.load.seconds) == ("cold", False, 1.0)
    slow = loading("d0", 30.0, pool="cold")
    assert placed(Fleet((slow, busy))).pool == "busy"
    unmeasured = loading("d0", 1.0, pool="cold", seconds_per_step={})
    assert placed(Fleet((unmeasured, busy))).pool == "busy", "nobody knows how long it would take"


def test_one_that_is_bound_by_name_loads_what_it_lacks() -> None:
    mine, other = loading("d0", 3.0, labels={"owner": "ada"}), worker("d1", "device")
    found = placed(Fleet((mine, other)), selector={"owner": "ada"})
    assert (found.worker, found.load.seconds, found.loaded) == ("d0", 3.0, False)


def test_a_worker_that_was_slow_an_hour_ago_is_not_shunned() -> None:
    def once_slow(age: float) -> Fleet:
        paces = {"seconds_per_step": {"finisher": 0.4}, "usual_seconds_per_step": {"finisher": 0.01}}
        slow = worker("d0", "device", pool="slow", pace_age_s={"finisher": age}, **paces)
        return Fleet((slow, worker("d1", "device", pool="steady")))

    assert placed(once_slow(1.0)).pool == "steady"
    back = placed(once_slow(3600.0))
    assert back.pool == "slow"
    assert back.pace_variance > 0.1


BACKLOGS: tuple[dict[str, float], ...] = ({}, {"device": 60.0}, {"edge": 3.0, "device": 0.0})


@pytest.mark.parametrize("backlogs", BACKLOGS)
def test_what_is_kept_of_a_fleet_answers_as_a_new_one_does(backlogs: dict[str, float]) -> None:
    workers = (worker(), loading("d0", 4.0), worker("d1", "device", labels={"os": "linux"}), worker("d2", "device"))

    def answers(among: Fleet) -> list[object]:
        placing: list[dict[str, object]] = [{}, {"avoid": ("d1",)}, {"avoid": ("gone",)}, {"selector": {"os": "linux"}}]
        found = [placed(among, "finisher", **options) for options in placing]
        return [*found, among.place("edge", FAMILY, "large"), among.load("edge"), among.load("device")]

    before = Fleet(workers, {"device": 1.0})
    answers(before)
    assert answers(before.now(workers, backlogs)) == answers(Fleet(workers, backlogs))


def test_a_new_heartbeat_is_seen_at_once() -> None:
    before = Fleet((worker("d0", "device"),))
    assert placed(before).waiting == 0.0
    after = before.now((worker("d0", "device", queue_depth=3),), {})
    assert placed(after).waiting == 3.0
    assert placed(before).waiting == 0.0


def test_jobs_of_others_do_not_share_whom_a_job_selects() -> None:
    mine, shared = worker("d0", "device", private=True, labels={"owner": "ada"}), worker("d1", "device")
    both = Fleet((mine, shared))
    hers, his = question(deviceSelector={"owner": "ada"}), question(deviceSelector={"owner": "eve"})
    for among in (both, both.now(both.workers, {"device": 2.0})):
        found = [among.open_to(asked.request).workers for asked in (hers, his, question())]
        assert found == [(mine, shared), (shared,), (shared,)]
    assert both.now(both.workers, {"device": 2.0}).open_to(hers.request).backlogs == {"device": 2.0}


def test_nothing_is_kept_of_a_fleet_without_workers() -> None:
    nobody = Fleet()
    for number in range(3):
        nobody.open_to(question(job_id=f"job-{number}", placement="Dedicated").request)
        nobody = nobody.now((), {})
    assert nobody._known.open == {}
