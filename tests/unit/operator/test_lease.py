"""One replica at a time leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_operator.api import LEASES, Kind, Object
from rise_operator.lease import HELD_SHARE, LABELS, WATCHES, Election, NotLeader, Sight, may_take
from tests.unit.operator.api import Memory
from tests.unit.operator.leading import Clock, running, won

LEASE_S = 0.06
"""So short that candidates look every 10 ms; the Lease itself says a second, which passes on the test's own clock."""


class Leases(Memory):
    """Tells when it was asked; `spoil` writes before the next replacement, as another candidate would, and `answer`
    comes before its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()
        self.spoil: Callable[[], None] = lambda: None
        self.answer: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        self.changed.set()
        return await super().get(kind, namespace, name)

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        self.changed.set()
        self.spoil()
        written = await super().replace(kind, namespace, name, body)
        await self.answer()
        return written

    @property
    def spec(self) -> Object:
        spec: Object = self.objects[LEASES, "rise", "rise-operator"]["spec"]
        return spec

    async def looks(self, times: int) -> None:
        """Wait until candidates looked so many times more."""
        wanted = len(self.asked) + times
        async with asyncio.timeout(30):
            while len(self.asked) < wanted:
                self.changed.clear()
                await self.changed.wait()


def candidate(api: Leases, identity: str, clock: Clock, cares_for: tuple[str, ...] = ()) -> Election:
    return Election(api, "rise", "rise-operator", identity, LEASE_S, cares_for, clock=clock)


class TestMayTake:
    def sight(self, holder: str | None, **spec: object) -> Sight:
        return Sight({"holderIdentity": holder, "leaseDurationSeconds": 10, **spec}, since=100.0)

    @pytest.mark.parametrize("holder", ["", None, "me"])
    def test_what_is_nobodys_or_ours_may_be_taken_at_once(self, holder: str | None) -> None:
        assert may_take(self.sight(holder), "me", 10, now=100.0)

    def test_what_is_anothers_may_be_taken_once_it_was_silent_for_its_own_duration(self) -> None:
        assert not may_take(self.sight("other"), "me", 1, now=110.0)
        assert may_take(self.sight("other"), "me", 99, now=110.1)

    def test_without_a_duration_ours_counts(self) -> None:
        assert not may_take(Sight({"holderIdentity": "other"}, 100.0), "me", 20, now=120.0)
        assert may_take(Sight({"holderIdentity": "other"}, 100.0), "me", 20, now=120.1)

    @given(st.floats(0.1, 300), st.floats(0, 300))
    def test_nobody_may_take_what_its_holder_still_thinks_to_hold(self, lease_s: float, silent: float) -> None:
        """The holder counts from before it asked, everybody else from when they saw it: later."""
        sight = Sight({"holderIdentity": "other", "leaseDurationSeconds": lease_s}, since=0.0)
        if silent < lease_s * HELD_SHARE:
            assert not may_take(sight, "me", lease_s, now=silent)


async def test_the_first_candidate_leads_and_says_whom_it_cares_for() -> None:
    api, clock = Leases(), Clock()
    election = candidate(api, "one", clock, ("a", "b"))
    assert not election.held
    with pytest.raises(NotLeader, match="one is not the leader"):
        election.check()
    async with running(election):
        await won(election)
        election.check()
        lease = api.objects[LEASES, "rise", "rise-operator"]
        assert lease["spec"]["holderIdentity"] == "one"
        assert lease["metadata"]["labels"] == LABELS
        assert lease["metadata"]["annotations"] == {WATCHES: "a,b"}
        assert election.uid == lease["metadata"]["uid"]


async def test_it_renews_and_stays_the_one_that_took_it_then() -> None:
    api, clock = Leases(), Clock()
    election = candidate(api, "one", clock)
    async with running(election):
        await won(election)
        first = dict(api.spec)
        for _ in range(5):
            clock.now += LEASE_S / 6
            await api.looks(3)
        assert election.held and election.renewals > 3
        assert api.spec["renewTime"] > first["renewTime"]
        assert api.spec["acquireTime"] == first["acquireTime"]
        assert api.spec["leaseTransitions"] == 0


async def test_another_waits_until_the_holder_was_silent_for_long_enough() -> None:
    api, clock = Leases(), Clock()
    one, other = candidate(api, "one", clock), candidate(api, "other", clock)
    async with running(one):
        await won(one)
    async with running(other):
        await api.looks(3)
        clock.now += 0.9
        await api.looks(3)
        assert not other.won.is_set()
        clock.now += 0.2
        await won(other)
    assert api.spec["holderIdentity"] == "other"
    assert api.spec["leaseTransitions"] == 1
    assert not one.held


async def test_of_two_that_try_at_once_one_leads() -> None:
    api, clock = Leases(), Clock()
    elections = [candidate(api, f"c{number}", clock) for number in range(4)]
    async with running(*elections):
        async with asyncio.timeout(30):
            await asyncio.wait(
                [asyncio.ensure_future(e.won.wait()) for e in elections], return_when=asyncio.FIRST_COMPLETED
            )
        await api.looks(20)
        leading = [election for election in elections if election.held]
        assert [election.identity for election in leading] == [api.spec["holderIdentity"]]


async def test_who_is_overtaken_between_reading_and_writing_does_not_lead() -> None:
    api, clock = Leases(), Clock()
    await api.create(LEASES, "rise", {"metadata": {"name": "rise-operator"}, "spec": {"holderIdentity": ""}})

    def overtaken() -> None:
        lease = api.objects[LEASES, "rise", "rise-operator"]
        lease["metadata"]["resourceVersion"] = "later"
        lease["spec"] = {"holderIdentity": "faster", "leaseDurationSeconds": 1}

    api.spoil = overtaken
    election = candidate(api, "slow", clock)
    async with running(election):
        await api.looks(6)
        assert not election.won.is_set()
    assert api.spec["holderIdentity"] == "faster"


async def test_a_leader_that_cannot_renew_stops_before_anybody_else_may_begin() -> None:
    api, clock = Leases(), Clock()
    election = candidate(api, "one", clock)
    work = asyncio.ensure_future(election.run())
    await won(election)
    api.down = True
    clock.now += LEASE_S
    assert not election.held, "also before it has found out"
    async with asyncio.timeout(30):
        await work
    with pytest.raises(NotLeader):
        election.lost()


async def test_an_answer_that_was_long_on_its_way_counts_from_when_it_was_asked_for() -> None:
    """Others have seen the renewal for as long as it took to hear of it."""
    api, clock = Leases(), Clock()
    election = candidate(api, "one", clock)

    def slow() -> None:
        clock.now += LEASE_S

    api.spoil = slow
    work = asyncio.ensure_future(election.run())
    await won(election)
    async with asyncio.timeout(30):
        await work
    assert election.renewals == 3, "it was renewed, and asked once more, and too late"
    assert not election.held


async def test_a_failure_that_passes_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    api, clock = Leases(), Clock()
    election = candidate(api, "one", clock)
    caplog.set_level(logging.INFO, "rise_operator")
    async with running(election):
        await won(election)
        api.down = True
        await api.looks(2)
        api.down = False
        await api.looks(2)
        assert election.held
    assert caplog.messages == ["one leads (lease rise/rise-operator)"], "and nobody hears of it"


async def test_a_renewal_is_one_request() -> None:
    api, clock = Leases(), Clock()
    async with running(election := candidate(api, "one", clock)):
        await won(election)
        api.asked.clear()
        await api.looks(4)
    assert {verb for verb, *_ in api.asked} == {"replace"}


@pytest.mark.parametrize("change", ["somebody wrote", "somebody deleted"])
async def test_a_lease_that_somebody_meddled_with_is_read_again(change: str) -> None:
    api, clock = Leases(), Clock()
    place = LEASES, "rise", "rise-operator"
    async with running(election := candidate(api, "one", clock)):
        await won(election)
        if change == "somebody wrote":
            api.objects[place]["metadata"] |= {"resourceVersion": "later", "annotations": {"note": "hello"}}
        else:
            del api.objects[place]
        before = election.renewals
        async with asyncio.timeout(30):
            while election.renewals == before:
                await api.looks(1)
        assert election.held
        assert election.uid == api.objects[place]["metadata"]["uid"]
        kept = api.objects[place]["metadata"]["annotations"]
        assert kept == ({"note": "hello", WATCHES: ""} if change == "somebody wrote" else {WATCHES: ""})


async def test_an_answer_that_never_comes_holds_up_no_renewal() -> None:
    """As over a connection that died without a word."""
    api, clock = Leases(), Clock()
    async with running(election := candidate(api, "one", clock)):
        await won(election)
        lost, api.answer = api.answer, asyncio.Event().wait
        before, revision = election.renewals, api.writes
        async with asyncio.timeout(30):
            while api.writes == revision:
                await api.looks(1)
        api.answer = lost
        await api.looks(6)
        assert election.renewals > before
        assert election.held


async def test_an_answer_that_comes_late_still_counts() -> None:
    """From when it was asked for: more than one pause between two looks later, and before the time is over."""
    api, clock, free = Leases(), Clock(), asyncio.Event()
    election = candidate(api, "one", clock)
    api.answer = free.wait
    async with running(election):
        await api.looks(1)  # it is made without one; then each renewal waits for its answer
        await won(election)
        await api.looks(3)
        assert election.renewals == 1
        began = clock.now
        clock.now += LEASE_S / 2
        free.set()
        async with asyncio.timeout(30):
            while election.renewals == 1:
                await api.looks(1)
        assert election.held
        assert clock.now > began


async def test_a_leader_whose_time_ran_out_asks_once_more() -> None:
    """The process stood still, and nobody has taken the Lease meanwhile."""
    api, clock = Leases(), Clock()
    async with running(election := candidate(api, "one", clock)):
        await won(election)
        clock.now += LEASE_S
        before = election.renewals
        with pytest.raises(NotLeader):
            election.check()
        async with asyncio.timeout(30):
            while election.renewals == before:
                await api.looks(1)
        assert election.held
    assert api.spec["leaseTransitions"] == 0


async def test_a_standby_looks_as_soon_as_the_lease_runs_out() -> None:
    """Not only with its next regular look: the time without a leader is the duration, and hardly more."""
    clock = asyncio.get_running_loop().time
    api = Leases()
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 1}
    await api.create(LEASES, "rise", {"metadata": {"name": "rise-operator"}, "spec": spec})
    election = Election(api, "rise", "rise-operator", "one", 30.0, clock=clock)
    began = clock()
    async with running(election):
        await won(election)
    assert 1.0 < clock() - began < 4.0, "its regular look is every five seconds"


async def test_what_keeps_a_candidate_from_the_lease_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    api, clock = Leases(), Clock()
    caplog.set_level(logging.INFO, "rise_operator")
    api.down = True
    async with running(election := candidate(api, "one", clock)):
        await api.looks(5)
        assert caplog.messages == [
            "the lease rise/rise-operator cannot be looked at: get: the API server does not answer"
        ]
        api.down = False
        await won(election)
        await api.looks(2)
    assert caplog.messages[1:] == ["one leads (lease rise/rise-operator)", "the lease rise/rise-operator answers again"]


async def test_a_leader_says_once_that_it_goes_without_a_renewal(caplog: pytest.LogCaptureFixture) -> None:
    api, clock = Leases(), Clock()
    caplog.set_level(logging.INFO, "rise_operator")
    async with running(election := candidate(api, "one", clock)):
        await won(election)
        api.down = True
        clock.now += LEASE_S / 2
        await api.looks(5)
        assert election.held
        api.down = False
        before = election.renewals
        while election.renewals < before + 2:
            await api.looks(1)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert "was not renewed for 0.0 s" in caplog.messages[1]


async def test_leadership_that_is_given_back_is_free_at_once() -> None:
    api, clock = Leases(), Clock()
    one, other = candidate(api, "one", clock), candidate(api, "other", clock)
    async with running(one):
        await won(one)
    await one.release()
    assert not one.held
    async with running(other):
        await won(other)
    assert api.spec["holderIdentity"] == "other"


async def test_who_does_not_lead_gives_nothing_back() -> None:
    api, clock = Leases(), Clock()
    one, other = candidate(api, "one", clock), candidate(api, "other", clock)
    async with running(one):
        await won(one)
    await other.release()
    assert api.spec["holderIdentity"] == "one"
    clock.now += 10
    await one.release()
    assert api.spec["holderIdentity"] == "one", "it may be somebody else's by now"
