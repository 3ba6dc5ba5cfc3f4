"""A worker at work: its engine, its connection, its families made known. Here torch is imported; see `app`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import ModelFamily
from rise_contracts.rights import Principal
from rise_runtime import guard, layout, telemetry
from rise_runtime.bus import Bus, connect
from rise_runtime.families import Families
from rise_runtime.seam import WorkerStatus
from rise_runtime.signals import stop_on_signals
from rise_runtime.worker import WorkerSettings, run_worker
from rise_stage.engine.allocator import keep_memory
from rise_stage.engine.batch import Batch
from rise_stage.engine.engine import Engine, Precision
from rise_stage.engine.memory import spare_bytes
from rise_stage.engine.parts import Memory
from rise_stage.handler import Handler
from rise_stage.heat import sensor_of
from rise_stage.manifests import BUS
from rise_stage.quiet import quiet
from rise_stage.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


async def run(chosen: Settings, own: Sequence[ModelFamily], batch: Batch | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `own` are the families that this worker makes known itself; `batch` makes the
    forward passes, where it is not the usual one."""
    quiet()
    keep_memory()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    stop = stop_on_signals()
    device = resolve_device(chosen.device)
    slots, batch = slots_of(chosen, device), batch or Batch()
    me = Principal(chosen.identity.tier, chosen.identity.pool, chosen.identity.name)
    name = f"rise-stage-{me.name}"
    ready = asyncio.Event()

    def takes_work() -> bool:
        return ready.is_set() and not stop.is_set()

    async with (
        telemetry.served_health(telemetry.health_address(), takes_work, guard=guard.read("RISE_METRICS")),
        connect(chosen.nats_url, chosen.access, name=name, inbox=me.inbox, patience=chosen.patience) as bus,
    ):
        families = await _unless(stop, _known(bus, chosen, own))
        if families is None:
            return
        handler = make_handler(chosen, families, batch)
        sensor = sensor_of(device)
        wanted = {family.metadata.name: preloaded(family, chosen) for family in families}

        def prepare() -> None:
            handler.prepare(wanted)
            if slots > 1:
                # Only now are the weights in their place.
                batch.limit = chosen.batch_memory_mib * 2**20 if chosen.batch_memory_mib else spare_bytes(device)
                log.info("up to %d jobs at once, their passes in up to %d MiB", slots, batch.limit >> 20)

        def status() -> WorkerStatus:
            return replace(handler.status(), accelerator=sensor())

        def on_ready() -> None:
            ready.set()
            log.info("ready: %s", ", ".join(handler.status().members))

        await run_worker(
            bus,
            chosen.identity,
            handler,
            status=status,
            prepare=prepare,
            stop=stop,
            settings=WorkerSettings(slots=slots),
            on_ready=on_ready,
        )


async def _known(bus: Bus, chosen: Settings, own: Sequence[ModelFamily]) -> list[ModelFamily]:
    """The worker's families, those of the bus as soon as they are known there.

    Workers at the edge make their own known. A device's own are for itself: what others are told is not its business.
    """
    if chosen.identity.tier == "edge":
        await layout.ensure(bus)
        for family in own:
            await Families(bus).publish(family)
    else:
        await layout.until_made(bus)
    named = [name.removeprefix(BUS) for name in chosen.families if name.startswith(BUS)]
    if named:
        log.info("waiting for the families %s to be known on the bus", ", ".join(named))
    return [*own, *[await Families(bus).wait_for(name) for name in named]]


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """`work`'s result, or None once `stop` is set."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def make_handler(chosen: Settings, families: Sequence[ModelFamily], batch: Batch | None = None) -> Handler:
    device = resolve_device(chosen.device)
    precision: Precision = "bf16" if chosen.precision == "bf16" else "fp16" if chosen.precision == "fp16" else "fp32"
    memory = Memory(None if chosen.memory_mib is None else chosen.memory_mib * 2**20)

    def load(family: ModelFamily) -> Engine:
        return Engine.load(
            family,
            device=device,
            precision=precision,
            memory=memory,
            tiny_vae=chosen.tiny_vae,
            offload="encoders" if chosen.offload == "encoders" else "none",
            decodes=chosen.identity.tier == "device",
        )

    return Handler(families, load, batch, checkpoint_s=chosen.checkpoint_s)


def slots_of(chosen: Settings, device: str) -> int:
    """How many jobs to be at at once, where nothing else was asked for.

    A device serves its user, whose next picture waits for this one in any case. An accelerator at the edge serves many
    users and makes a pass of eight rows in little more time than one of a single row. A CPU gains a quarter at most
    (`rise bench batch`), for which two jobs are enough: with more each would only end later.
    """
    if chosen.slots is not None:
        return chosen.slots
    if chosen.identity.tier == "device":
        return 1
    return 2 if device == "cpu" else 8


def preloaded(family: ModelFamily, chosen: Settings) -> tuple[str, ...]:
    """The members to load before the worker is ready: those asked for, else those of its tier."""
    known = [member.name for member in family.spec.members]
    if chosen.members:
        wanted = tuple(name for name in chosen.members if name in known)
        if not wanted and len(chosen.families) == 1:
            raise InvalidInput("--member", f"members of {family.metadata.name} ({', '.join(known)})", chosen.members)
        return wanted
    return tuple(member.name for member in family.spec.members if member.tier == chosen.identity.tier)


def resolve_device(wanted: str) -> str:
    """The torch device to use. Raises InvalidInput where the wanted one is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = wanted.partition(":")[0]
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, False):
        raise InvalidInput("--device", f"one of {', '.join(name for name, there in here.items() if there)}", wanted)
    return wanted
