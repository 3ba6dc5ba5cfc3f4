"""The pictures of a random run as they are when nothing strikes: each is made once, as a job was told to make it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.chaos.invariants import Wanted
from benchmarks.chaos.ledger import Ledger
from rise_contracts import errors
from rise_contracts.configuration import Configuration
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client
from rise_runtime.bus import Bus

PROMPT: Final = "a small red circle above a large blue square"
PATIENCE_S: Final = 120.0
_Key = tuple[int, int, str]


@dataclass(slots=True)
class Known:
    """Digests by what they depend on. `wanted`: the jobs that were made for it."""

    bus: Bus
    ledger: Ledger
    records: Mapping[str, JobRecord]
    wanted: list[Wanted] = field(default_factory=list)
    _digests: dict[_Key, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, bus: Bus, ledger: Ledger) -> Known:
        return cls(bus, ledger, {record.job_id: record for record in await client.list_jobs(bus)})

    async def fixed(self, seed: int, images: int, cut: tuple[int, int]) -> str:
        """Of a job that fixed its own relay."""
        return await self._digest((seed, images, str(cut)), relay(*cut))

    async def chosen(self, job_id: str, seed: int, images: int) -> str:
        """Of a job whose relay the scheduler chose; empty where it has no result, or is gone with its configuration."""
        record = self.records.get(job_id)
        if record is None or record.decision is None or record.state is not JobState.COMPLETE:
            return ""
        configuration = record.decision.configuration
        return await self._digest((seed, images, shape(configuration)), relay_of(configuration))

    async def _digest(self, key: _Key, wanted: Mapping[str, object]) -> str:
        if key not in self._digests:
            self._digests[key] = await self._made(wanted, key[0], key[1])
        return self._digests[key]

    async def _made(self, wanted: Mapping[str, object], seed: int, images: int) -> str:
        body = {"prompt": PROMPT, "seed": seed, "images": images, "relay": wanted}
        spec = RelayJobSpec.model_validate({**body, "idempotencyKey": f"reference-{secrets.token_hex(6)}"})
        job = await client.submit(self.bus, spec)
        self.wanted.append(Wanted(job.job_id))
        if await self.ledger.until(self.ledger.ended, job.job_id, PATIENCE_S) is None:
            raise errors.Waited(f"the end of {job.job_id}, which nothing disturbs", PATIENCE_S)
        return (await client.fetch_result(self.bus, job.job_id)).done.digest


def relay(head: int, tail: int) -> dict[str, object]:
    """Two stages of so many steps, in the terms of a RelayJob."""
    stages = [{"member": "large", "steps": head, "untilSigma": 0.9}, {"member": "finisher", "steps": tail}]
    return {"mode": "Fixed", "stages": stages}


def relay_of(configuration: Configuration) -> dict[str, object]:
    """What a scheduler has chosen, as a job that fixes it says it."""
    stages = [
        {"member": stage.member, "tier": stage.tier, "steps": stage.steps, "untilSigma": stage.sigma_to or None}
        for stage in configuration.stages
    ]
    kinds = {"solver": configuration.solver, "wireDtype": configuration.wire_dtype}
    return {"mode": "Fixed", "stages": stages, **kinds}


def shape(configuration: Configuration) -> str:
    """All of a configuration on which the bits of a picture depend."""
    stages = [f"{each.member}/{each.tier}:{each.steps}@{each.sigma_to:g}" for each in configuration.stages]
    return "+".join([*stages, str(configuration.solver), configuration.wire_dtype])
