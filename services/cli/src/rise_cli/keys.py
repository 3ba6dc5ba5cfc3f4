"""Keys of a platform: whose they are, and what its NATS server is told of them.

A folder holds for each of them a seed (``device-phones-ada-phone.nk``, for its owner alone) and a note of its public
half (``….key.json``); ``accounts.conf`` is written from all the notes, for the server's configuration to include.
A seed may be taken to where it is used, and need not stay.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, get_args

import nkeys
from pydantic import TypeAdapter, ValidationError

from rise_contracts.errors import DiskFull, InvalidInput, NotFound, UnknownName
from rise_contracts.model import Name
from rise_contracts.rights import ROLES, WORKERS, Grant, Principal, Role, configuration

ACCOUNTS: Final = "accounts.conf"
_NOTE: Final = ".key.json"
_LABEL: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Key:
    """`seed` is the file that opens the server; `accounts` what the server includes."""

    who: Principal
    nkey: str
    seed: Path
    accounts: Path


def principal(role: str, pool: str, name: str, *, private: bool) -> Principal:
    """Whose key is meant. Raises InvalidInput where a worker has no name, or somebody else has one."""
    if role not in ROLES:
        raise UnknownName("role", role, get_args(Role), "ROLE")
    known: Role = next(each for each in ROLES if each == role)
    if (known in WORKERS) is not bool(name):
        wanted = "the name of the worker" if known in WORKERS else f"none, for {known} is one role for all"
        raise InvalidInput("--name", wanted, name or "none")
    if private and known != "device":
        raise InvalidInput("--private", "a device", known)
    if known not in WORKERS:
        return Principal(known)
    return Principal(known, _label("--pool", pool or known), _label("--name", name), private)


def make(who: Principal, folder: Path) -> Key:
    """A new key in place of an older one of the same principal. Raises DiskFull where the folder cannot be written."""
    pair = nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)))
    public, seed = pair.public_key.decode(), pair.seed.decode()
    path = folder / f"{_title(who)}.nk"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, seed + "\n", 0o600)
        _write(folder / f"{_title(who)}{_NOTE}", json.dumps({**asdict(who), "nkey": public}, indent=1) + "\n", 0o644)
    except OSError as error:
        raise DiskFull(str(folder), error.strerror or str(error)) from error
    return Key(who, public, path, render(folder))


def revoke(who: Principal, folder: Path) -> Path:
    """Forget a key; what the server is told then. Raises NotFound."""
    note = folder / f"{_title(who)}{_NOTE}"
    if not note.is_file():
        raise NotFound("key", _title(who), f"the keys in {folder}: {', '.join(_titles(folder)) or 'none'}")
    note.unlink()
    (folder / f"{_title(who)}.nk").unlink(missing_ok=True)
    return render(folder)


def render(folder: Path) -> Path:
    """Write what a server is told of every key in the folder."""
    path = folder / ACCOUNTS
    _write(path, configuration(grants(folder)), 0o600)
    return path


def grants(folder: Path) -> list[Grant]:
    """What is noted there. Raises InvalidInput for a note that is none."""
    return [_grant(path) for path in sorted(folder.glob(f"*{_NOTE}"))]


def _label(option: str, text: str) -> str:
    """It becomes a token of subjects: a wildcard would be a key to everything."""
    try:
        return _LABEL.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(option, "1 to 63 lower-case letters, digits and inner hyphens", text) from error


def _grant(path: Path) -> Grant:
    try:
        note = json.loads(path.read_text())
        nkey = str(note.pop("nkey"))
        return Grant(Principal(**note), nkey=nkey)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(str(path), "a note that `rise keys` wrote", type(error).__name__, "remove it") from error


def _titles(folder: Path) -> list[str]:
    return [path.name.removesuffix(_NOTE) for path in sorted(folder.glob(f"*{_NOTE}"))]


def _title(who: Principal) -> str:
    return "-".join(part for part in (who.role, who.pool, who.name) if part)


def _write(path: Path, text: str, mode: int) -> None:
    """At once or not at all: a server may be reading it."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    fresh.replace(path)
