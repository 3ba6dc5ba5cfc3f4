"""What the tests of locks have in common: keys, certificates, and servers that ask for them."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import nkeys

from tests.kube.pki import Authority

NEVER: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Key:
    """An nkey of a test's own: the file with its seed, and its public half."""

    seed: Path
    public: str


def make_key(seed: Path) -> Key:
    """Draw a key into `seed`, in place of the one that is there."""
    drawn = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    fresh = seed.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(drawn)
    fresh.replace(seed)
    return Key(seed, nkeys.from_seed(bytearray(drawn)).public_key.decode())


def tls(authority: Authority, *names: str, clients: bool = False) -> str:
    """The server's `tls` block, with a certificate of these names; `clients`: it asks for theirs."""
    pair = authority.serving("nats", names)
    verify = f'ca_file: "{authority.pair.certificate}", verify: true' if clients else ""
    return f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}", {verify} }}'


class Operator:
    """An operator of NATS with one account, as `nsc` makes them: servers trust whoever has a JWT that it signed."""

    def __init__(self) -> None:
        self._operator, self._account = _pair(nkeys.PREFIX_BYTE_OPERATOR), _pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = _pair(nkeys.PREFIX_BYTE_ACCOUNT)

    def locks(self) -> str:
        """Of a server that trusts it. JetStream wants an account of the system beside."""
        own = _jwt(self._operator, self._operator, {"type": "operator"})
        known = (f"{_public(account)}: {self._jwt_of(account)}" for account in (self._account, self._system))
        return (
            f"operator: {own}\nresolver: MEMORY\nresolver_preload: {{ {', '.join(known)} }}\n"
            f"system_account: {_public(self._system)}"
        )

    def _jwt_of(self, account: nkeys.KeyPair) -> str:
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        if account is self._account:
            limits |= dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        return _jwt(self._operator, account, {"type": "account", "limits": limits})

    def credentials(self, path: Path, seconds: int | None = None) -> Path:
        """A new user's, in a file; good for so many seconds, or for ever."""
        user = _pair(nkeys.PREFIX_BYTE_USER)
        claims: dict[str, object] = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        jwt = _jwt(self._account, user, claims, {} if seconds is None else {"exp": int(time.time()) + seconds})
        path.touch(mode=0o600)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        return path


def _pair(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), kind)))


def _public(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode().rstrip("="))


def _jwt(
    issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, object], until: Mapping[str, int] = NEVER
) -> str:
    """Signed as NATS wants it: https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt"""
    said = {"jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": _public(issuer), "sub": _public(subject)}
    body = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**said, **until, "nats": {**claims, "version": 2}}]
    signed = ".".join(_base64(json.dumps(part).encode()) for part in body)
    return f"{signed}.{_base64(issuer.sign(signed.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
