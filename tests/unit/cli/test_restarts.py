"""When a dead child is started again."""

from __future__ import annotations

import pytest

from rise_cli.local import restarts

TABLE = {
    "the first death is answered almost at once": ([100.0], 100.0, 0.25),
    "the second waits twice as long": ([99.0, 100.0], 100.0, 0.5),
    "the fifth waits four seconds": ([96.0, 97.0, 98.0, 99.0, 100.0], 100.0, 4.0),
    "the sixth in a minute is the last": ([95.0, 96.0, 97.0, 98.0, 99.0, 100.0], 100.0, None),
    "deaths of long ago are forgotten": ([1.0, 2.0, 3.0, 4.0, 5.0, 500.0], 500.0, 0.25),
    "no death, no wait to speak of": ([], 5.0, 0.25),
}


def test_what_no_job_needs_is_given_up_although_it_takes_its_time_to_die() -> None:
    deaths = [100.0 * number for number in range(1, 7)]
    assert restarts.next_delay(deaths, deaths[-1]) == 0.25
    assert restarts.next_delay(deaths, deaths[-1], restarts.HELPERS_WINDOW_S) is None


@pytest.mark.parametrize("case", TABLE)
def test_next_delay(case: str) -> None:
    deaths, now, want = TABLE[case]
    assert restarts.next_delay(deaths, now) == want
