"""The whole benchmark at its smallest: every part gives its rows, and settings that are known are not tuned again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks import scheduler
from benchmarks.scheduler import LOOP, Bench, Plan
from benchmarks.scheduling import settings
from benchmarks.scheduling.closedloop import Load
from benchmarks.scheduling.entrants import ENTRANTS, IN_THE_LOOP
from benchmarks.scheduling.worlds import KINDS

TINY = Plan(seeds=1, tuning=1, few=1, jobs=160, loads=((Load(1.6, 1.0, 40), 1),), decisions=50)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ThreadPoolExecutor(1) as pool:
        yield Bench(TINY, pool, settings.load(), tmp_path / "settings.json")


def test_the_settings_that_are_kept_are_of_every_policy_in_both_worlds_and_the_loop() -> None:
    tuned = settings.load()
    for kind in KINDS:
        assert {name for name, entrant in ENTRANTS.items() if not entrant.settings_of} == set(tuned[kind])
    assert set(tuned[LOOP]) <= set(IN_THE_LOOP)


def test_a_replay_has_a_row_of_every_policy(bench: Bench) -> None:
    names = [row.name for row in bench.part("replay", ("synthetic",))]
    assert {"regret_vs_linucb", "regret_vs_analytic", *(f"regret_synthetic_{name}" for name in ENTRANTS)} <= set(names)
    assert not bench.written.exists(), "nothing was tuned"


def test_the_loop_and_the_estimates_and_the_speed_have_their_rows(bench: Bench) -> None:
    names = {row.name for part in (LOOP, "offpolicy", "speed") for row in bench.part(part, ())}
    assert {"loop_p95_vs_linucb", "loop_over_10s", "offpolicy_error", "decision_us_p50"} <= names
    assert {f"loop_1.6_cv1_{name}_p95" for name in IN_THE_LOOP} <= names


def test_more_seeds_and_processes_can_be_asked_for_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scheduler.main(["--parts", "everything"])
    assert "replay" in capsys.readouterr().err
