"""Keys to a NATS server: drawn here, and told to the server as lines of YAML, one for each who is let in.

- {role: device, pool: device, name: phone, private: true, nkey: UABC…}

The chart takes such lines in its value `nats.users`; for another server they become a part of its configuration.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import nkeys
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from rise_contracts import subjects
from rise_contracts.errors import DiskFull, InvalidInput
from rise_contracts.model import Name
from rise_contracts.rights import WORKERS, Grant, Principal, Role, configuration

PublicKey = Annotated[str, Field(pattern=r"^U[A-Z2-7]{55}$")]


class Line(BaseModel):
    """One who is let in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    pool: Name | None = None
    name: Name | None = None
    private: bool = False
    nkey: PublicKey

    @model_validator(mode="after")
    def _fits_its_role(self) -> Line:
        if self.role == "device" and not (self.pool and self.name):
            raise ValueError("a device needs a pool and a name")
        if self.role not in WORKERS and (self.pool or self.name):
            raise ValueError(f"a pool and a name are a worker's, not a {self.role}'s")
        if self.private and self.role != "device":
            raise ValueError("only a device can be private")
        if self.name == subjects.ANY:
            raise ValueError(f"the name {subjects.ANY!r} stands for every worker of a pool")
        return self

    @property
    def grant(self) -> Grant:
        """A worker at the edge may have any pool and name that it is not bound to."""
        anything = "*" if self.role == "edge" else ""
        who = Principal(self.role, self.pool or anything, self.name or anything, self.private)
        return Grant(who, nkey=self.nkey)

    def text(self) -> str:
        told = self.model_dump(exclude_defaults=True)
        return "- " + yaml.safe_dump(told, default_flow_style=True, sort_keys=False, width=1000).strip()


_LINES: TypeAdapter[list[Line]] = TypeAdapter(list[Line])


def new(out: Path, role: str, *, pool: str | None, name: str | None, private: bool) -> Line:
    """Draw a key into the file `out`, which must not be there; the line that lets it in.

    Raises InvalidInput, DiskFull.
    """
    seed = bytes(nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER))
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    found = {"role": role, "pool": pool, "name": name, "private": private, "nkey": public}
    (line,) = _checked([{key: value for key, value in found.items() if value is not None}], "rise keys")
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        hint = "choose another, or remove it: whoever has it is not let in any more"
        raise InvalidInput("--out", "a file that is not there", str(out), hint) from error
    except OSError as error:
        raise DiskFull(str(out), error.strerror or str(error)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(seed + b"\n")
    return line


def server_configuration(file: Path) -> str:
    """The part of a nats-server's configuration that lets in those of the file and nobody else. Raises InvalidInput."""
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput("--server", "a file of lines as rise keys prints them", str(file), str(error)) from error
    lines = _checked(loaded, str(file))
    keys, people = [line.nkey for line in lines], [line.grant.who for line in lines if line.role == "device"]
    for what, found in (("key", keys), ("device", people)):
        if len(set(found)) < len(found):
            raise InvalidInput(str(file), f"each {what} once", "one that is there twice")
    return configuration(line.grant for line in lines)


def _checked(lines: Any, where: str) -> Sequence[Line]:
    try:
        return _LINES.validate_python(lines)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where} {place}".strip(), "a line as rise keys prints it", first["msg"]) from error
