"""What the operator remembers of what it saw."""

from __future__ import annotations

from rise_operator.settings import Settings
from rise_operator.world import NODES_KEPT, Item, World
from tests.unit.operator import builders as make


def world() -> World:
    return World(Settings(namespace="rise"), lambda item: None)


class TestNodesOfWorkers:
    def test_a_worker_that_went_is_still_known_to_have_been_on_its_node(self) -> None:
        seen = world()
        seen.see_workers((make.beat("edge-1", labels={"node": "a"}), make.beat("bare")))
        seen.see_workers(())
        assert seen.job(make.job()).nodes == {"edge-1": "a"}

    def test_a_name_that_is_on_another_node_now_is_there(self) -> None:
        seen = world()
        seen.see_workers((make.beat("edge-1", labels={"node": "a"}),))
        seen.see_workers((make.beat("edge-1", labels={"node": "b"}),))
        assert seen.job(make.job()).nodes == {"edge-1": "b"}

    def test_of_those_that_went_the_last_ones_are_known_and_all_that_are_there(self) -> None:
        seen = world()
        for number in range(NODES_KEPT + 5):
            seen.see_workers((make.beat(f"edge-{number}", labels={"node": "a"}),))
        known = seen.job(make.job()).nodes
        assert len(known) == NODES_KEPT
        assert "edge-4" not in known and f"edge-{NODES_KEPT + 4}" in known
        crowd = tuple(make.beat(f"big-{number}", labels={"node": "a"}) for number in range(NODES_KEPT + 5))
        seen.see_workers(crowd)
        assert set(seen.job(make.job()).nodes) == {beat.worker for beat in crowd}


def test_jobs_are_looked_at_again_once_all_that_the_bus_has_was_seen() -> None:
    woken: list[Item] = []
    seen = World(Settings(namespace="rise"), woken.append)
    seen.see_job(make.job_body())
    job = seen.jobs["default", "job"]
    assert not seen.job(job).read
    woken.clear()
    seen.see_bus_whole()
    assert woken == [Item("job", "default", "job")]
    assert seen.job(job).read
    seen.forget_bus()
    assert not seen.job(job).read
