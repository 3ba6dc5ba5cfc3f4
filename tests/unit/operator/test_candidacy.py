"""The election goes on whatever else the process is at."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from rise_contracts.errors import InvalidInput
from rise_operator.api import LEASES, Api, Kind, Object
from rise_operator.candidacy import candidacy
from rise_operator.lease import NotLeader
from rise_operator.settings import Settings
from tests.unit.operator.api import Memory

SETTINGS = Settings(namespace="rise", identity="me", lease_s=3.0)
PATIENCE_S = 30.0


class Leases(Memory):
    """Tells every thread of renewals, and remembers which asked."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed = threading.Semaphore(0)
        self.threads: set[str] = set()

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        written = await super().replace(kind, namespace, name, body)
        self.threads.add(threading.current_thread().name)
        self.renewed.release()
        return written

    @property
    def holder(self) -> str:
        return str(self.objects[LEASES, "rise", "rise-operator"]["spec"]["holderIdentity"])

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Api]:
        yield self


async def test_the_lease_is_renewed_while_the_leaders_loop_stands_still() -> None:
    api = Leases()
    async with candidacy(SETTINGS, api.connect) as candidate, asyncio.timeout(PATIENCE_S):
        await candidate.won.wait()
        # Longer than a leader that does not renew is one; nothing else runs on this loop meanwhile.
        for _ in range(6):
            assert api.renewed.acquire(timeout=PATIENCE_S)
        assert candidate.election.held
        assert not candidate.ended.done()
    assert api.threads == {"lease"}


async def test_leadership_is_given_back_at_the_end() -> None:
    api = Leases()
    async with candidacy(SETTINGS, api.connect) as candidate, asyncio.timeout(PATIENCE_S):
        await candidate.won.wait()
        assert api.holder == "me"
    assert api.holder == ""
    assert not candidate.election.held


async def test_leadership_that_is_lost_is_told() -> None:
    api = Leases()
    async with candidacy(SETTINGS, api.connect) as candidate, asyncio.timeout(PATIENCE_S):
        await candidate.won.wait()
        api.down = True
        await asyncio.shield(candidate.ended)
        with pytest.raises(NotLeader):
            candidate.election.check()


async def test_what_the_election_did_not_foresee_is_raised_where_it_is_waited_for() -> None:
    class Broken(Leases):
        async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
            raise KeyError("spec")

    async with candidacy(SETTINGS, Broken().connect) as candidate, asyncio.timeout(PATIENCE_S):
        with pytest.raises(KeyError, match="spec"):
            await asyncio.shield(candidate.ended)


async def test_a_cluster_that_there_is_not_is_said_at_once() -> None:
    class Nowhere(contextlib.AbstractAsyncContextManager[Api]):
        async def __aenter__(self) -> Api:
            raise InvalidInput("--kubeconfig", "a kubeconfig", "none")

        async def __aexit__(self, *error: object) -> None:
            raise AssertionError("it was not entered")

    with pytest.raises(InvalidInput, match="kubeconfig"):
        async with candidacy(SETTINGS, Nowhere):
            pytest.fail("there is nothing to stand for")
