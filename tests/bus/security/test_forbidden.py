"""What nobody but those in the table may say or hear: tried with each identity against a real server, over TLS.

For each it is seen that the server refuses, and that what was said went nowhere: ROOT listens to everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from rise_contracts.rights import Principal
from rise_runtime.bus import Incoming
from tests.bus.security import matrix
from tests.bus.security.matrix import EVERYBODY
from tests.bus.security.people import Crowd

pytestmark = pytest.mark.asyncio(loop_scope="module")


def forbidden(table: Iterator[tuple[Principal, str, bool]]) -> list[object]:
    return [
        pytest.param(who, subject, id=f"{matrix.name_of(who)}-{subject}")
        for who, subject, allowed in table
        if not allowed
    ]


@pytest.mark.parametrize(("who", "subject"), forbidden(matrix.said()))
async def test_it_may_not_say(crowd: Crowd, caplog: pytest.LogCaptureFixture, who: Principal, subject: str) -> None:
    mark = secrets.token_hex(8).encode()
    await crowd.buses[who].publish(subject, mark)
    heard = await crowd.settled()
    assert f'permissions violation for publish to "{subject.lower()}"' in caplog.text
    assert [message.subject for message in heard if mark in message.data] == []


@pytest.mark.parametrize(("who", "subject"), forbidden(matrix.heard()))
async def test_it_may_not_hear(crowd: Crowd, caplog: pytest.LogCaptureFixture, who: Principal, subject: str) -> None:
    heard: list[Incoming] = []
    subscription = await crowd.buses[who].subscribe(subject, heard.append)
    try:
        await crowd.buses[who].barrier()
        for said in _under(subject):
            await crowd.root.publish(said, b"{}")
        await crowd.settled()
        await crowd.buses[who].barrier()
    finally:
        await subscription.stop()
    assert f'permissions violation for subscription to "{subject.lower()}"' in caplog.text
    assert heard == []


def _under(pattern: str) -> list[str]:
    """Subjects that somebody with this subscription would hear."""
    if pattern == ">":
        return ["rise.events.job-1.job-done", "rise.cancel.job-1", "_INBOX.user.x"]
    return [pattern.replace("*", "x").replace(">", "x")]


@pytest.mark.parametrize("who", EVERYBODY, ids=matrix.name_of)
async def test_what_it_may_say_arrives(crowd: Crowd, who: Principal) -> None:
    """So that silence above means something."""
    sayings = {
        subject: secrets.token_hex(8).encode()
        for one, subject, allowed in matrix.said()
        if one == who and allowed and subject.startswith(("rise.", "$KV."))
    }
    for subject, mark in sayings.items():
        await crowd.buses[who].publish(subject, mark)
    heard = [(message.subject, message.data) for message in await crowd.settled()]
    assert [subject for subject, mark in sayings.items() if (subject, mark) not in heard] == []
    assert sayings
