"""The lists of rights, against a table that was written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from rise_contracts import subjects
from rise_contracts.rights import ROLES, TRUSTED, Grant, Principal, account_of, configuration, rights_of
from tests.bus.security import matrix
from tests.bus.security.matrix import DEVICE, EDGE, EVERYBODY, OPERATOR, OTHER, PRIVATE, SCHEDULER, STRANGER

DEVICES = (DEVICE, OTHER, STRANGER, PRIVATE)


def covers(pattern: str, subject: str) -> bool:
    """Whether all that `subject` stands for, wildcards included, is under `pattern`."""
    wanted, got = pattern.split("."), subject.split(".")
    for at, token in enumerate(wanted):
        if token == ">":
            return len(got) > at
        if at >= len(got) or got[at] == ">" or (token != "*" and token != got[at]):
            return False
    return len(got) == len(wanted)


@pytest.mark.parametrize(("pattern", "subject", "whether"), [
    ("a.b", "a.b", True), ("a.*", "a.b", True), ("a.>", "a.b.c", True), ("a.>", "a.>", True), ("a.>", "a", False),
    ("a.*", "a.b.c", False), ("a.*", "a.>", False), ("a.b", "a.*", False), ("a.*", "a.*", True),
    ("a.b.c", "a.b", False),
])  # fmt: skip
def test_what_a_pattern_covers(pattern: str, subject: str, whether: bool) -> None:
    assert covers(pattern, subject) is whether


def unlike(who: Principal, patterns: tuple[str, ...], table: Iterable[tuple[Principal, str, bool]]) -> list[str]:
    """What `who` has and should not, or should have and lacks, by a table of (who, subject, whether)."""
    return [
        f"{'lacks' if wanted else 'has'} {subject}"
        for one, subject, wanted in table
        if one == who and any(covers(pattern, subject) for pattern in patterns) is not wanted
    ]


@pytest.mark.parametrize("who", EVERYBODY, ids=matrix.name_of)
def test_everybody_may_say_and_hear_what_the_tables_say_and_nothing_else(who: Principal) -> None:
    rights = rights_of(who)
    assert unlike(who, rights.publish, matrix.said()) == []
    assert unlike(who, rights.subscribe, matrix.heard()) == []


@pytest.mark.parametrize("who", EVERYBODY, ids=matrix.name_of)
def test_no_list_holds_what_the_table_does_not_ask_for(who: Principal) -> None:
    """A pattern that was added for nothing in the table is one that no test would miss."""
    rights = rights_of(who)
    for patterns, table in ((rights.publish, matrix.said()), (rights.subscribe, matrix.heard())):
        asked = [subject for one, subject, wanted in table if one == who and wanted]
        unasked = [pattern for pattern in patterns if not any(covers(pattern, each) for each in asked)]
        assert unasked == [], "add them to the table"


@pytest.mark.parametrize("who", DEVICES, ids=matrix.name_of)
def test_a_device_has_no_right_that_reaches_beyond_its_lanes(who: Principal) -> None:
    """Whatever is added: each right names the device, its pool's common lane, or what everybody may know."""
    takers = (who.name,) if who.private else (who.name, subjects.ANY)
    lanes = [f"{who.pool}.{name}" for name in takers]
    stream = subjects.work_stream(who.pool)
    for pattern in rights_of(who).publish:
        own = (
            any(f".{lane}." in pattern for lane in lanes)
            or any(pattern.endswith((f"{stream}.{name}", f"{stream}.{name}.>")) for name in takers)
            or pattern.endswith(f".{who.name}")
        )
        known = pattern == "$JS.API.INFO" or pattern.endswith(("$KV.rise_fences.*", "$KV.rise_families.*"))
        assert own or known, pattern
        assert not any(verb in pattern for verb in (".STREAM.", "CONSUMER.CREATE", "CONSUMER.DELETE", "DURABLE"))


@pytest.mark.parametrize("who", [*DEVICES, Principal("device", "device", "*")], ids=matrix.name_of)
def test_nothing_that_a_device_says_is_said_twice(who: Principal) -> None:
    """Each subject is imported into its account; a message that two imports match is taken over by both."""
    patterns = rights_of(who).publish
    overlaps = [
        (one, other)
        for number, one in enumerate(patterns)
        for other in patterns[number + 1 :]
        if covers(one, other) or covers(other, one)
    ]
    assert overlaps == []


def test_inboxes_are_apart() -> None:
    inboxes = [who.inbox for who in (*EVERYBODY, Principal("device", "a", "b"), Principal("edge", "a", "b"))]
    for one in inboxes:
        assert [other for other in inboxes if covers(f"{one}.>", f"{other}.x")] == [one]


def test_only_the_scheduler_answers_whoever_asks() -> None:
    assert [who.role for who in EVERYBODY if rights_of(who).answers] == ["scheduler"]


def test_every_role_has_rights() -> None:
    assert {who.role for who in EVERYBODY} == set(ROLES)


def accounts(*grants: Grant) -> dict[str, dict[str, list[dict[str, object]]]]:
    text = configuration(grants)
    assert text.startswith("accounts: {")
    found: dict[str, dict[str, list[dict[str, object]]]] = json.loads(text.removeprefix("accounts: "))
    return found


def test_each_device_has_an_account_of_its_own_and_sees_what_it_may_say() -> None:
    found = accounts(*(Grant(who, nkey=f"U{number}") for number, who in enumerate(EVERYBODY)))
    assert set(found) == {TRUSTED, *(account_of(who) for who in DEVICES)}
    assert account_of(DEVICE) == "DEVICE_device_device-1"
    assert len(found[TRUSTED]["users"]) == 6
    own = found[account_of(DEVICE)]
    assert [user["nkey"] for user in own["users"]] == [f"U{EVERYBODY.index(DEVICE)}"]
    imported = {entry["service"]["subject"] for entry in own["imports"] if "service" in entry}  # type: ignore[index]
    assert imported == set(rights_of(DEVICE).publish)
    assert "exports" not in own and "jetstream" not in own


def test_without_devices_nothing_is_exported() -> None:
    found = accounts(Grant(OPERATOR, password="o"), Grant(EDGE, nkey="UE"), Grant(SCHEDULER, password="s"))
    assert set(found) == {TRUSTED} and "exports" not in found[TRUSTED]
    operator, edge, scheduler = found[TRUSTED]["users"]
    assert (operator["user"], operator["password"], edge["nkey"]) == ("operator", "o", "UE")
    assert "user" not in edge and "nkey" not in operator
    assert scheduler["permissions"]["allow_responses"] is True  # type: ignore[index]
    assert "allow_responses" not in operator["permissions"]  # type: ignore[operator]


def test_a_group_of_devices_is_named_so_that_no_device_can_be_called_like_it() -> None:
    assert account_of(Principal("device", "device", "*")) == "DEVICE_device_any"
