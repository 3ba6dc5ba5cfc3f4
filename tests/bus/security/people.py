"""Everybody who has an identity of their own, and the server that knows them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rise_contracts.rights import TRUSTED, Grant, Principal, configuration
from rise_runtime.access import Access, only
from rise_runtime.bus import Bus, Incoming, connect
from tests.bus.security.locks import Key, make_key, tls
from tests.bus.security.matrix import EVERYBODY
from tests.kube.pki import Authority

ROOT = Principal("operator", "", "root")


@dataclass
class People:
    """Each has a key; the locks are what a server is told of them."""

    folder: Path
    authority: Authority

    def __post_init__(self) -> None:
        self._keys = {who: make_key(self._seed_of(who)) for who in (*EVERYBODY, ROOT)}
        self._ca = self.authority.pair.certificate
        self._tls = tls(self.authority, "IP:127.0.0.1")

    def locks(self, without: Principal | None = None) -> str:
        """Of a server with TLS, in words of its configuration. ROOT is let in besides, who may hear and say all."""
        grants = [Grant(who, nkey=key.public) for who, key in self._keys.items() if who not in (ROOT, without)]
        found = json.loads(configuration(grants).removeprefix("accounts: "))
        found[TRUSTED]["users"].append({"nkey": self._keys[ROOT].public})
        return f"accounts: {json.dumps(found)}\n{self._tls}"

    def access(self, who: Principal) -> Access:
        return Access(nkey=self._keys[who].seed, ca=self._ca)

    def environment(self, who: Principal) -> dict[str, str]:
        """The same, for a process."""
        return {**only(""), "RISE_NATS_NKEY": str(self._keys[who].seed), "RISE_NATS_CA": str(self._ca)}

    def rekey(self, who: Principal) -> Key:
        """Another key, in the file of the old one."""
        self._keys[who] = make_key(self._seed_of(who))
        return self._keys[who]

    @contextlib.asynccontextmanager
    async def bus(self, url: str, who: Principal) -> AsyncIterator[Bus]:
        async with connect(url, self.access(who), name=who.role, inbox=who.inbox, patience=30.0) as bus:
            yield bus

    def _seed_of(self, who: Principal) -> Path:
        return self.folder / f"{who.role}{who.name}"


class Crowd:
    """Everybody connected; `heard` is all that was said in the account of the platform."""

    def __init__(self, buses: dict[Principal, Bus]) -> None:
        self.buses, self.root = buses, buses[ROOT]
        self.heard: list[Incoming] = []

    def hear(self, message: Incoming) -> None:
        self.heard.append(message)

    async def settled(self) -> list[Incoming]:
        """What was heard until now, by then all that anybody had said."""
        for bus in self.buses.values():
            await bus.barrier()
        await self.root.barrier()
        heard, self.heard = self.heard, []
        return heard
