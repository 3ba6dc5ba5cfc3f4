"""Who is let in, decided without a server: headers, names, lists of accounts, and how long a verdict is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts.errors import InvalidInput
from rise_runtime import guard, token_review
from rise_runtime.guard import OPEN, Forbidden, Guard, Unauthorized

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


class Answering:
    """Reviews by a list of tokens."""

    def __init__(self, *known: str) -> None:
        self.known, self.asked = known, 0

    async def admits(self, token: str) -> bool:
        self.asked += 1
        return token in self.known


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic a", "a", "Bearer b", "Bearer é"])
async def test_what_is_not_the_token_is_refused(header: str) -> None:
    with pytest.raises(Unauthorized, match="RISE_HTTP_TOKEN"):
        await Guard(token="a").check(header, "localhost")


async def test_a_token_or_an_account_will_do_and_a_token_is_shown_to_nobody() -> None:
    reviews = Answering("theirs")
    both = Guard("RISE_METRICS", "ours", reviews)
    await both.check("Bearer ours", "anywhere")
    assert reviews.asked == 0
    await both.check("bearer  theirs ", "anywhere")
    with pytest.raises(Unauthorized, match="audience rise-metrics") as refused:
        await both.check("Bearer neither", "localhost")
    assert "neither" not in str(refused.value) and "ours" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
async def test_who_asks_for_nothing_answers_this_machine(host: str) -> None:
    await OPEN.check("", host)


@pytest.mark.parametrize("host", ["", "attacker.example", "localhost.attacker.example", "10.0.0.1", "0.0.0.0", "::"])
async def test_who_asks_for_nothing_answers_no_other_name(host: str) -> None:
    with pytest.raises(Forbidden):
        await OPEN.check("Bearer whatever", host)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost:80", "localhost"),
        ("[::1]:80", "::1"),
        ("a.b", "a.b"),
        ("", ""),
        ("[", "["),
        ("A.b", "a.b"),
    ],
)
def test_a_host_is_read_without_its_port(header: str, host: str) -> None:
    assert guard.host_of(header) == host


def test_nothing_is_asked_for_where_nothing_is_set() -> None:
    assert guard.read("RISE_HTTP", {}) == OPEN
    assert guard.read("RISE_HTTP", {"RISE_HTTP_TOKEN": "", "RISE_HTTP_ACCOUNTS": ""}) == OPEN
    assert guard.read("RISE_HTTP", {"RISE_HTTP_TOKEN": "x"}).asks


@pytest.mark.parametrize("text", ["asker", "a/b/c", "A/b", "a/", "/b", "a/b;c/d", "system:serviceaccount:a:b", "a/b c"])
def test_an_account_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="RISE_HTTP_ACCOUNTS: wanted service accounts as namespace/name"):
        token_review.read_accounts("RISE_HTTP_ACCOUNTS", text)


def test_accounts_outside_of_a_pod_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    wanted = {"RISE_HTTP_ACCOUNTS": "a/b", "RISE_SERVICE_ACCOUNT": str(tmp_path)}
    with pytest.raises(InvalidInput, match="no KUBERNETES_SERVICE_HOST"):
        guard.read("RISE_HTTP", wanted)
    with pytest.raises(InvalidInput, match="token"):
        guard.read("RISE_HTTP", {**wanted, **POD})
    (tmp_path / "token").write_text("x")
    with pytest.raises(InvalidInput, match=r"ca\.crt"):
        guard.read("RISE_HTTP", {**wanted, **POD})
    (tmp_path / "ca.crt").write_text("x")
    assert guard.read("RISE_HTTP", {**wanted, **POD}).asks
    server = token_review.api_server("X", {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1", **wanted})
    assert server.url == "https://[fd00::1]:443"
