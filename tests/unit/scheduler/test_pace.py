from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.messages import Accelerator, Heartbeat
from rise_scheduler.pace import (
    LOADED_HERE_SD,
    LOADED_THERE_SD,
    MEMORY_S,
    NEVER_LOADED_SD,
    SPREAD_SD,
    THROTTLED,
    THROTTLED_SD,
    UNKNOWN_LOAD_S,
    Load,
    Pace,
    load_among,
    load_prior,
    names_of,
    pace_among,
    seconds_per_step,
)
from tests.unit.scheduler.builders import worker

LARGE = names_of("rise-shapes", "large")
PACES, AGES = st.floats(1e-5, 1e4), st.floats(0, 1e6)
HOT = Accelerator(temperature_c=91.0, throttled=True)


def aged(measured: float, usual: float | None, age: float | None, heat: Accelerator | None = None) -> Heartbeat:
    return worker(
        seconds_per_step={"large": measured},
        usual_seconds_per_step={} if usual is None else {"large": usual},
        pace_age_s={} if age is None else {"large": age},
        accelerator=heat,
    )


def pace(beat: Heartbeat, *others: Heartbeat) -> Pace:
    found = pace_among([beat], [beat, *others], LARGE)
    assert found is not None
    return found


@given(PACES, PACES)
def test_a_pace_of_this_moment_is_what_was_measured(measured: float, usual: float) -> None:
    found = pace(aged(measured, usual, 0.0))
    assert (found.seconds, found.variance) == (measured, 0.0)
    assert pace(aged(measured, usual, None)) == found, "an older release does not say its age"


@given(PACES, PACES, AGES)
def test_an_old_one_lies_between_what_was_measured_and_what_is_usual(measured: float, usual: float, age: float) -> None:
    found = pace(aged(measured, usual, age))
    assert min(measured, usual) * (1 - 1e-9) <= found.seconds <= max(measured, usual) * (1 + 1e-9)
    assert 0.0 <= found.variance <= SPREAD_SD**2


@given(PACES, PACES, st.tuples(AGES, AGES))
def test_the_older_the_nearer_to_what_is_usual_and_the_less_certain(
    measured: float, usual: float, ages: tuple[float, float]
) -> None:
    young, old = (pace(aged(measured, usual, age)) for age in sorted(ages))
    assert abs(math.log(old.seconds / usual)) <= abs(math.log(young.seconds / usual)) + 1e-9
    assert old.variance >= young.variance


@given(PACES, PACES, st.booleans())
def test_in_the_end_nothing_is_left_of_a_measurement(measured: float, usual: float, hot: bool) -> None:
    found = pace(aged(measured, usual, 40 * MEMORY_S, HOT if hot else None))
    assert found.seconds == pytest.approx(usual * (THROTTLED if hot else 1.0))
    assert found.variance == pytest.approx(SPREAD_SD**2 + (THROTTLED_SD**2 if hot else 0.0))


@given(PACES, PACES, AGES)
def test_heat_never_makes_a_worker_faster_or_surer(measured: float, usual: float, age: float) -> None:
    cool, hot = (pace(aged(measured, usual, age, heat)) for heat in (None, HOT))
    assert hot.seconds >= cool.seconds * (1 - 1e-9)
    assert hot.variance == pytest.approx(cool.variance + THROTTLED_SD**2)


def test_a_pace_that_was_measured_in_the_heat_is_believed() -> None:
    assert pace(aged(0.4, 0.1, 0.0, HOT)).seconds == pytest.approx(0.4)


@pytest.mark.parametrize("heat", [None, Accelerator(), Accelerator(temperature_c=91.0, throttled=False)])
def test_who_is_not_known_to_be_throttled_is_not(heat: Accelerator | None) -> None:
    assert pace(aged(0.4, 0.1, 0.0, heat)) == Pace(0.4, 0.0)


def test_who_does_not_say_what_is_usual_is_as_the_others_of_its_pool() -> None:
    others = [worker(name, usual_seconds_per_step={"large": usual}) for name, usual in (("e1", 0.1), ("e2", 0.3))]
    mute = aged(0.8, None, 1e6)
    assert pace(mute, *others).seconds == pytest.approx((0.8 + 0.1 + 0.3) / 3)
    assert pace(mute).seconds == pytest.approx(0.8), "alone it has nothing to go back to"
    assert pace(mute).variance == pytest.approx(SPREAD_SD**2)


@pytest.mark.parametrize("nonsense", [0.0, -1.0, 1e-9, 1e9])
def test_nonsense_is_no_measurement(nonsense: float) -> None:
    assert seconds_per_step(aged(nonsense, None, None), LARGE) is None
    assert pace_among([aged(nonsense, 0.1, 1.0)], [], LARGE) is None
    assert pace(aged(0.2, nonsense, 1e6)).seconds == pytest.approx(0.2)


def test_the_pace_of_several_is_their_mean() -> None:
    both = [aged(0.1, 0.1, 0.0), aged(0.3, 0.3, 1e6)]
    found = pace_among(both, both, LARGE)
    assert found is not None
    assert (found.seconds, found.variance) == pytest.approx((0.2, SPREAD_SD**2 / 2))


def test_who_holds_a_member_has_nothing_to_load() -> None:
    holder = worker(load_seconds={"large": 9.0})
    assert load_among([holder], [holder], LARGE, 5.0) == Load()


def test_a_load_is_that_of_this_worker_else_of_its_pool_else_what_its_size_says() -> None:
    mine, new = worker(members=(), load_seconds={"large": 9.0}), worker("e3", members=())
    pool = [worker("e1", load_seconds={"large": 2.0}), worker("e2", load_seconds={"rise-shapes/large": 4.0})]
    loads = [load_among([mine], pool, LARGE, 5.0), load_among([new], pool, LARGE, 5.0)]
    loads.append(load_among([new], [], LARGE, 5.0))
    assert [load.seconds for load in loads] == [9.0, 3.0, 5.0]
    deviations = [load.variance**0.5 / load.seconds for load in loads]
    assert deviations == pytest.approx([LOADED_HERE_SD, LOADED_THERE_SD, NEVER_LOADED_SD])


def test_a_larger_member_takes_longer_to_load_and_one_of_unknown_size_a_while() -> None:
    assert load_prior(1_000_000) < 0.3 < load_prior(2_600_000_000) < 30
    assert load_prior(None) == UNKNOWN_LOAD_S


@given(st.lists(st.tuples(st.booleans(), st.floats(1e-3, 100)), min_size=1, max_size=8))
def test_where_any_of_several_may_load_it_takes_their_mean_and_who_it_is_is_uncertain(
    told: list[tuple[bool, float]],
) -> None:
    workers = [worker(members=("large",) * holds, load_seconds={"large": seconds}) for holds, seconds in told]
    loads = [0.0 if holds else seconds for holds, seconds in told]
    mean = sum(loads) / len(loads)
    found = load_among(workers, workers, LARGE, 5.0)
    assert found.seconds == pytest.approx(mean)
    apart = sum((load - mean) ** 2 for load in loads) / len(loads)
    each = sum((LOADED_HERE_SD * load) ** 2 for load in loads) / len(loads)
    assert found.variance == pytest.approx(apart + each, abs=1e-6)
