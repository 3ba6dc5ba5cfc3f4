from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed.price import HIGHEST, WANTED, Pacer, edge_wait
from rise_scheduler.placing import place_arms
from tests.unit.scheduler.builders import family, fleet, nothing_learned, question, worker


def paced(wait: float, jobs: int, pacer: Pacer | None = None) -> Pacer:
    pacer = pacer or Pacer()
    for _ in range(jobs):
        pacer = pacer.after(wait)
    return pacer


def test_an_idle_edge_costs_nothing() -> None:
    assert paced(0.0, 500) == Pacer(0.0, 0.0)


def test_the_price_rises_while_jobs_wait_too_long_and_falls_again() -> None:
    busy = paced(1.0, 60)
    assert busy.price > 0.3
    assert busy.busy
    calm = paced(0.0, 60, busy)
    assert calm.price < busy.price / 4
    assert not calm.busy


def test_a_wait_as_wanted_keeps_the_price() -> None:
    pacer = paced(WANTED, 1000, Pacer(0.4, WANTED))
    assert abs(pacer.price - 0.4) < 1e-9


@given(st.lists(st.floats(-1e9, 1e9)))
def test_the_price_keeps_its_bounds(waits: list[float]) -> None:
    pacer = Pacer()
    for wait in waits:
        pacer = pacer.after(wait)
        assert 0.0 <= pacer.price <= HIGHEST
        assert pacer.wait >= 0.0


def test_the_wait_is_that_of_the_least_busy_way_to_the_edge() -> None:
    workers = (worker(queue_depth=3), worker("device-0", "device", queue_depth=50))
    candidates, _ = place_arms(canonical_arms(family()), question(), family(), fleet(*workers), nothing_learned())
    # The shortest head on the edge has 3 steps of 0.1 s, and three like it wait.
    assert abs(edge_wait(candidates, 2.0) - 0.45) < 1e-9
    on_device = [item for item in candidates if item.tiers == ("device",)]
    assert edge_wait(on_device, 2.0) == 0.0
