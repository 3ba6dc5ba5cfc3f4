"""What the tests of locks have in common: keys, certificates, and servers that ask for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nkeys

from tests.kube.pki import Authority


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
