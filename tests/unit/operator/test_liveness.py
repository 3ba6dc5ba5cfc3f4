"""Whether the watch still brings what it should."""

from __future__ import annotations

from rise_operator.lease import Election
from rise_operator.liveness import Liveness
from tests.unit.operator.api import Memory
from tests.unit.operator.leading import Clock, running, won

SILENCE_S = 60.0


async def leading(clock: Clock) -> Election:
    """The leader, with a Lease that it holds however the clock is turned."""
    election = Election(Memory(), "rise", "rise-operator", "one", 3.0, clock=lambda: 0.0)
    async with running(election):
        await won(election)
    return election


def lease(holder: str = "one", namespace: str = "rise") -> dict[str, object]:
    return {"metadata": {"name": "rise-operator", "namespace": namespace}, "spec": {"holderIdentity": holder}}


async def test_a_leader_whose_renewals_do_not_come_back_is_ill() -> None:
    clock = Clock()
    liveness = Liveness(await leading(clock), "rise", silence_s=SILENCE_S, clock=clock)
    liveness.start()
    clock.now += SILENCE_S - 1
    assert liveness.problem() == ""
    clock.now += 1
    assert "not brought a renewal of the lease for 60 s" in liveness.problem()


async def test_each_renewal_that_comes_back_shows_that_it_is_well() -> None:
    clock = Clock()
    liveness = Liveness(await leading(clock), "rise", silence_s=SILENCE_S, clock=clock)
    liveness.start()
    for _ in range(5):
        clock.now += SILENCE_S - 1
        liveness.see_lease(lease())
        assert liveness.problem() == ""
    clock.now += SILENCE_S
    assert liveness.problem() != ""
    liveness.see_lease(lease())
    assert liveness.problem() == ""


async def test_renewals_of_others_prove_nothing() -> None:
    clock = Clock()
    liveness = Liveness(await leading(clock), "rise", silence_s=SILENCE_S, clock=clock)
    liveness.start()
    clock.now += SILENCE_S
    liveness.see_lease(lease("other"))
    liveness.see_lease(lease(namespace="elsewhere"))
    assert liveness.problem() != ""


async def test_a_standby_is_well_and_so_is_who_has_not_begun_to_watch() -> None:
    clock = Clock()
    standby = Liveness(Election(Memory(), "rise", "rise-operator", "two", 3.0), "rise", clock=clock)
    standby.start()
    waiting = Liveness(await leading(clock), "rise", clock=clock)
    clock.now += 1e6
    assert (standby.problem(), waiting.problem()) == ("", "")


async def test_a_watch_of_other_namespaces_cannot_be_judged() -> None:
    clock = Clock()
    liveness = Liveness(await leading(clock), "rise", silence_s=SILENCE_S, clock=clock)
    liveness.watched = False
    liveness.start()
    clock.now += 1e6
    assert liveness.problem() == ""


async def test_a_watch_that_begins_anew_gets_its_time() -> None:
    clock = Clock()
    liveness = Liveness(await leading(clock), "rise", silence_s=SILENCE_S, clock=clock)
    liveness.start()
    clock.now += SILENCE_S
    liveness.start()
    assert liveness.problem() == ""
