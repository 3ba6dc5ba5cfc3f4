"""Keys in a folder, and what a server is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import nkeys
import pytest

from rise_cli import keys
from rise_contracts.errors import InvalidInput, NotFound, UnknownName
from rise_contracts.rights import TRUSTED, Principal
from rise_runtime.access import Access

PHONE = Principal("device", "phones", "ada-phone", private=True)
OPERATOR = Principal("operator")


def told(accounts: Path) -> dict[str, list[str]]:
    """The nkeys that the server lets in, by account."""
    found = json.loads(accounts.read_text().removeprefix("accounts: "))
    return {name: [user["nkey"] for user in account["users"]] for name, account in found.items()}


def test_a_key_opens_what_the_server_is_told(tmp_path: Path) -> None:
    operator, phone = keys.make(OPERATOR, tmp_path / "keys"), keys.make(PHONE, tmp_path / "keys")
    accounts = told(phone.accounts)
    assert accounts.pop(TRUSTED) == [operator.nkey]
    assert list(accounts.values()) == [[phone.nkey]]
    public, _ = Access(nkey=phone.seed).sign(b"nonce")
    assert public == phone.nkey
    assert nkeys.from_seed(bytearray(phone.seed.read_bytes().strip())).public_key.decode() == phone.nkey


def test_secrets_are_their_owners_alone_and_not_what_the_server_is_told(tmp_path: Path) -> None:
    made = keys.make(PHONE, tmp_path)
    assert made.seed.stat().st_mode & 0o077 == 0
    assert made.seed.read_text().strip() not in made.accounts.read_text()


def test_another_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    first, second = keys.make(PHONE, tmp_path), keys.make(PHONE, tmp_path)
    assert first.nkey != second.nkey
    assert first.nkey not in second.accounts.read_text()
    assert second.nkey in second.accounts.read_text()


def test_a_key_that_is_taken_away_is_in_nothing(tmp_path: Path) -> None:
    made, other = keys.make(PHONE, tmp_path), keys.make(OPERATOR, tmp_path)
    accounts = keys.revoke(PHONE, tmp_path)
    assert told(accounts) == {TRUSTED: [other.nkey]}
    assert not made.seed.exists()
    with pytest.raises(NotFound, match="operator"):
        keys.revoke(PHONE, tmp_path)


def test_a_seed_may_be_somewhere_else(tmp_path: Path) -> None:
    keys.make(PHONE, tmp_path).seed.unlink()
    assert PHONE in {grant.who for grant in keys.grants(tmp_path)}


@pytest.mark.parametrize(
    ("role", "name", "private", "wanted"),
    [
        ("edge", "", False, "the name of the worker"),
        ("operator", "me", False, "none, for operator"),
        ("edge", "edge-1", True, "a device"),
    ],
)
def test_who_is_meant_has_to_be_clear(role: str, name: str, private: bool, wanted: str) -> None:
    with pytest.raises(InvalidInput, match=wanted):
        keys.principal(role, "", name, private=private)


@pytest.mark.parametrize("text", [">", "*", "a.b", "../etc", "Ada", "x" * 64])
def test_no_name_is_a_wildcard_or_a_path(text: str) -> None:
    with pytest.raises(InvalidInput, match="--name"):
        keys.principal("device", "", text, private=False)
    with pytest.raises(InvalidInput, match="--pool"):
        keys.principal("device", text, "d1", private=False)


def test_a_role_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="device"):
        keys.principal("devise", "", "x", private=False)


def test_a_worker_without_a_pool_is_of_that_of_its_tier() -> None:
    assert keys.principal("device", "", "d1", private=False) == Principal("device", "device", "d1")


@pytest.mark.parametrize("text", ["", "[]", '{"role": "device"}', '{"nkey": "U", "rank": 1}'])
def test_a_note_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "device-x.key.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"device-x\.key\.json"):
        keys.grants(tmp_path)
