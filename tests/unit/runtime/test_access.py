"""What the environment says about who a process is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts.errors import InvalidInput
from rise_runtime import access
from rise_runtime.access import NOBODY, Access


def test_nothing_said_is_nobody() -> None:
    assert access.from_environment({}) == NOBODY
    assert access.from_environment({"RISE_NATS_TOKEN": "", "RISE_NATS_NKEY": "", "RISE_NATS_ACCESS": ""}) == NOBODY
    assert not NOBODY.wants_tls


def test_each_variable_is_read() -> None:
    assert access.from_environment({"RISE_NATS_TOKEN": "t"}) == Access(token="t")
    assert access.from_environment({"RISE_NATS_NKEY": "/k"}) == Access(nkey=Path("/k"))
    assert access.from_environment({"RISE_NATS_CREDS": "/c"}) == Access(creds=Path("/c"))
    secure = {"RISE_NATS_CA": "/ca", "RISE_NATS_CERT": "/cert", "RISE_NATS_KEY": "/key"}
    found = access.from_environment(secure)
    assert found == Access(ca=Path("/ca"), cert=Path("/cert"), key=Path("/key"))
    assert found.wants_tls


@pytest.mark.parametrize(("name", "field"), [
    ("token", "token"), ("login", "login"), ("nkey", "nkey"), ("nats.creds", "creds"), ("ca.crt", "ca"),
])  # fmt: skip
def test_a_mounted_secret_says_by_its_files_what_it_is(tmp_path: Path, name: str, field: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "..data").mkdir()
    assert access.from_environment({"RISE_NATS_ACCESS": str(tmp_path)}) == Access(**{field: tmp_path / name})


def test_a_variable_comes_before_a_file_of_the_folder(tmp_path: Path) -> None:
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    found = access.from_environment({"RISE_NATS_ACCESS": str(tmp_path), "RISE_NATS_TOKEN": "t", "RISE_NATS_CA": "/ca"})
    assert found == Access(token="t", ca=Path("/ca"))


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"RISE_NATS_ACCESS: wanted a folder, got '/nowhere'"):
        access.from_environment({"RISE_NATS_ACCESS": "/nowhere"})


def test_two_identities_are_one_too_many() -> None:
    with pytest.raises(InvalidInput, match=r"wanted one identity.*got 'token and nkey'"):
        access.from_environment({"RISE_NATS_TOKEN": "secret", "RISE_NATS_NKEY": "/k"})


@pytest.mark.parametrize("half", ["RISE_NATS_CERT", "RISE_NATS_KEY"])
def test_a_certificate_has_a_key(half: str) -> None:
    with pytest.raises(InvalidInput, match="wanted a certificate and its key"):
        access.from_environment({half: "/x"})


def test_no_secret_is_in_what_is_said_of_an_identity() -> None:
    assert Access(token="hush").what == "token"
    assert "hush" not in repr(Access(token="hush"))
    assert Access(nkey=Path("/k")).what == "nkey in /k"
    assert NOBODY.what == "connection without an identity"


def test_a_process_of_our_own_shows_its_token_and_nothing_that_it_inherited(tmp_path: Path) -> None:
    (tmp_path / "nkey").touch()
    inherited = {"RISE_NATS_ACCESS": str(tmp_path), "RISE_NATS_CREDS": "/c", "RISE_NATS_CA": "/ca"}
    assert access.from_environment({**inherited, **access.only("t")}) == Access(token="t")


def test_credentials_are_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "nats.creds"
    path.touch(mode=0o600)
    path.write_text(
        "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n"
        "*** keep it ***\n-----BEGIN USER NKEY SEED-----\nnot a seed\n------END USER NKEY SEED------\n"
    )
    assert Access(creds=path).read_jwt() == "a.b.c"
    with pytest.raises(InvalidInput, match="wanted the seed of a user's nkey"):
        Access(creds=path).sign(b"nonce")
    path.write_text("-----BEGIN NATS USER JWT-----\n")
    with pytest.raises(InvalidInput, match="wanted NATS credentials with a NATS USER JWT"):
        Access(creds=path).read_jwt()


@pytest.mark.parametrize("text", ["", "edge", "edge:", ":secret"])
def test_a_login_is_a_user_and_a_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "login"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(InvalidInput, match="user:password") as caught:
        Access(login=path).read_login()
    assert "secret" not in str(caught.value)
