"""Whether a series is flat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import soak
from benchmarks.chaos.soak import Drift, Sample
from benchmarks.chaos.words import Cell, Door, Moment, Result

LENGTH = 30


def series(values: list[float], what: str = "rss_mib") -> list[Sample]:
    return [Sample(10.0 * place, "edge-1", what, value) for place, value in enumerate(values)]


def drift(values: list[float], what: str = "rss_mib") -> Drift:
    (found,) = soak.drifts(series(values, what))
    return found


def test_what_is_loaded_at_first_use_is_no_growth() -> None:
    assert drift([100.0 + 10.0 * place for place in range(10)] + [300.0] * 20).flat


def test_noise_and_a_process_that_is_started_anew_are_no_growth() -> None:
    assert drift([500.0 + 20.0 * (place % 3) for place in range(LENGTH)]).flat
    assert drift([500.0] * 20 + [80.0, 200.0] + [500.0] * 8).flat


def test_a_leak_is_growth() -> None:
    assert not drift([100.0 + 5.0 * place for place in range(LENGTH)]).flat


@pytest.mark.parametrize(("what", "room"), soak.ROOM.items())
def test_each_kind_has_its_room(what: str, room: float) -> None:
    assert drift([0.0] * 20 + [room] * 10, what).flat
    assert not drift([0.0] * 20 + [room + 0.1] * 10, what).flat


def test_too_short_a_series_is_not_judged() -> None:
    assert soak.drifts(series([1.0] * 5)) == []


def test_every_job_of_a_soak_removes_itself() -> None:
    planned = soak.jobs(3, seconds=60.0)
    assert all(next(planned).expires for _ in range(50))
    assert list(soak.jobs(3, seconds=-1.0)) == []


def test_the_slope_is_that_of_the_last_two_thirds() -> None:
    values = [0.0, 500.0] * 5 + [100.0 + 2.0 * place for place in range(20)]
    assert drift(values).per_hour == pytest.approx(2.0 * 360)


CELL = Cell("killed", "driver", Moment.IN_HEAD, Door.COMMAND_LINE)


def test_the_judgement_counts_jobs_and_faults() -> None:
    results = [Result(CELL, 4), Result(CELL, 3, lost=1, left=("a",)), Result(CELL, 2, hung=1, left=("b", "c"))]
    found = soak.judged(series([100.0] * LENGTH), results, 9)
    assert (found.seed, found.jobs, found.faults, found.wrong, found.left) == (9, 9, 2, 2, 1)
    assert found.minutes == pytest.approx(29 / 6)


def test_what_is_written_is_read_again_and_stands_on_the_page(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    samples = series([100.0] * 20 + [400.0] * 10)
    found = soak.judged(samples, [Result(CELL, 4)], 9)
    soak.write(found, samples, file)
    body = json.loads(file.read_text())
    assert soak.read(body["soak"]) == found
    assert len(body["samples"]) == LENGTH
    assert "| edge-1 | MiB resident | 100.0 | 400.0 |" in soak.markdown(found)
    assert "**no**" in soak.markdown(found)
