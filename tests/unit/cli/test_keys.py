"""Keys that are drawn, and the lines that let them in."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from rise_cli import keys
from rise_contracts.errors import InvalidInput
from rise_contracts.rights import TRUSTED, Principal, account_of
from rise_runtime.access import Access


def draw(out: Path, role: str, pool: str | None = None, name: str | None = None, private: bool = False) -> keys.Line:
    return keys.new(out, role, pool=pool, name=name, private=private)


def test_a_key_is_its_owners_alone_and_signs(tmp_path: Path) -> None:
    line = draw(tmp_path / "key", "user")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert Access(nkey=tmp_path / "key").sign(b"nonce")[0] == line.nkey
    assert line.text() == f"- {{role: user, nkey: {line.nkey}}}"


def test_a_name_that_reads_like_a_number_stays_a_name(tmp_path: Path) -> None:
    line = draw(tmp_path / "key", "device", "0x1f", "12")
    assert yaml.safe_load(line.text()) == [{"role": "device", "pool": "0x1f", "name": "12", "nkey": line.nkey}]


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    assert len({draw(tmp_path / str(number), "edge").nkey for number in range(8)}) == 8


def test_a_key_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    before = draw(tmp_path / "key", "user")
    with pytest.raises(InvalidInput, match="wanted a file that is not there"):
        draw(tmp_path / "key", "user")
    assert Access(nkey=tmp_path / "key").sign(b"nonce")[0] == before.nkey


@pytest.mark.parametrize(("line", "told"), [
    (("device", None, None, False), "a device needs a pool and a name"),
    (("device", "device", "any", False), "stands for every worker"),
    (("device", "device", "a.b", False), "name"),
    (("device", "*", "phone", False), "pool"),
    (("user", "device", None, False), "not a user's"),
    (("edge", "edge", None, True), "only a device can be private"),
    (("admin", None, None, False), "role"),
])  # fmt: skip
def test_what_cannot_be_let_in_is_told_and_no_key_is_drawn(
    tmp_path: Path, line: tuple[str, str | None, str | None, bool], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        draw(tmp_path / "key", *line)
    assert not (tmp_path / "key").exists()


def test_lines_become_a_servers_configuration(tmp_path: Path) -> None:
    lines = [
        draw(tmp_path / "0", "operator"), draw(tmp_path / "1", "edge"),
        draw(tmp_path / "2", "device", "device", "phone", private=True),
    ]  # fmt: skip
    file = tmp_path / "users.yaml"
    file.write_text("\n".join(line.text() for line in lines))
    assert yaml.safe_load(file.read_text())[2]["private"] is True
    found = json.loads(keys.server_configuration(file).removeprefix("accounts: "))
    phone = Principal("device", "device", "phone", private=True)
    assert set(found) == {TRUSTED, account_of(phone)}
    assert [user["nkey"] for user in found[TRUSTED]["users"]] == [lines[0].nkey, lines[1].nkey]
    said = found[account_of(phone)]["users"][0]["permissions"]["publish"]["allow"]
    assert not any(".any" in subject for subject in said)
    edge = found[TRUSTED]["users"][1]["permissions"]
    assert "_INBOX.edge.*.*.>" in edge["subscribe"]["allow"]


@pytest.mark.parametrize("text", [
    "", "role: user", "- {role: user}", "- {role: user, nkey: SU123}", "- {role: user, nkey: 1, x: 2}", "- [", "- ",
])  # fmt: skip
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "users.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput):
        keys.server_configuration(file)
    with pytest.raises(InvalidInput):
        keys.server_configuration(tmp_path / "missing")


def test_nobody_is_let_in_twice(tmp_path: Path) -> None:
    one = draw(tmp_path / "1", "device", "device", "phone").text()
    other = draw(tmp_path / "2", "device", "device", "phone").text()
    for text, told in ((f"{one}\n{one}", "each key once"), (f"{one}\n{other}", "each device once")):
        (tmp_path / "users.yaml").write_text(text)
        with pytest.raises(InvalidInput, match=told):
            keys.server_configuration(tmp_path / "users.yaml")
