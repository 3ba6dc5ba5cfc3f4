"""What goes wrong with everything at once is not said of each."""

from __future__ import annotations

from rise_operator.complaints import Complaints
from tests.unit.operator.leading import Clock


def test_of_many_the_first_is_told_and_the_rest_counted() -> None:
    said: list[str] = []
    clock = Clock()
    complaints = Complaints(said.append, every_s=10, clock=clock)
    for number in range(100):
        complaints.about("ApiUnavailable", f"job {number}: no answer")
    complaints.about("BusUnavailable", "job 7: no bus")
    assert said == ["job 0: no answer", "job 7: no bus"]

    clock.now += 10
    complaints.about("ApiUnavailable", "job 3: no answer")
    assert said[2:] == ["job 3: no answer (and 99 more like it before)"]
    clock.now += 10
    complaints.about("ApiUnavailable", "job 4: no answer")
    assert said[3:] == ["job 4: no answer"], "what was counted once is not counted again"
