"""What a stage worker is started with: flags, or else RISE_ variables, or else these defaults."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rise_contracts import subjects
from rise_contracts.errors import InvalidInput
from rise_contracts.model import Name, Tier
from rise_runtime import access
from rise_runtime.access import NOBODY, Access
from rise_runtime.seam import Identity

TIERS: tuple[Tier, ...] = ("edge", "device")
PRECISIONS = ("fp32", "fp16", "bf16")
OFFLOADS = ("none", "encoders")
EMBEDDED = "rise-shapes"
MOST_SLOTS = 64
_NAMES: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Settings:
    """`access` comes from the environment only: command lines are seen by every user of the machine.

    Attributes:
        families: names of built-in families, paths of manifests, or bus:NAME for one that somebody else makes known.
        members: to load before the worker is ready; empty stands for those of the worker's tier.
        threads: of the CPU; None leaves it to torch.
        offload: "encoders": text encoders and autoencoders leave the accelerator after each use.
        tiny_vae: decode pictures with the family's tiny autoencoder.
        memory_mib: what weights in memory may take together; None is no limit.
        slots: jobs at once; None leaves it to `serving.slots_of`.
        checkpoint_s: seconds between two checkpoints of a stage; 0 is none.
        batch_memory_mib: what a forward pass that jobs share may take; None is a share of what is free.
    """

    identity: Identity
    nats_url: str = "nats://127.0.0.1:4222"
    access: Access = NOBODY
    families: tuple[str, ...] = (EMBEDDED,)
    members: tuple[str, ...] = ()
    threads: int | None = 1
    device: str = "auto"
    precision: str = "fp32"
    offload: str = "none"
    tiny_vae: bool = False
    memory_mib: int | None = None
    slots: int | None = None
    batch_memory_mib: int | None = None
    checkpoint_s: float = 2.0
    patience: float = 10.0


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises InvalidInput for a value out of range; argparse ends the process for an unknown one."""
    given = _parser(environment).parse_args(list(arguments))
    tier: Tier = "edge" if _choice("--tier", given.tier, TIERS) == "edge" else "device"
    name, pool = _name("--name", given.name or f"{tier}-0"), _name("--pool", given.pool or tier)
    if name == subjects.ANY:
        raise InvalidInput("--name", f"a name other than {name!r}, which stands for every worker of a pool", name)
    dedicated = _name("--dedicated", given.dedicated) if given.dedicated else ""
    if given.private and tier != "device":
        raise InvalidInput("--private", "a worker of the tier device", tier, "the edge works for everybody")
    labels = dict(_label(text) for text in given.label)
    return Settings(
        identity=Identity(name, tier, pool, labels, dedicated, given.private),
        nats_url=given.nats_url,
        access=access.from_environment(environment),
        families=tuple(given.family) or (EMBEDDED,),
        members=tuple(given.member),
        threads=_whole("--threads", given.threads, 0, 1024) or None,
        device=given.device,
        precision=_choice("--precision", given.precision, PRECISIONS),
        offload=_choice("--offload", given.offload, OFFLOADS),
        tiny_vae=given.tiny_vae,
        memory_mib=_whole("--memory-mib", given.memory_mib, 0, 2**30) or None,
        slots=_whole("--slots", given.slots, 0, MOST_SLOTS) or None,
        batch_memory_mib=_whole("--batch-memory-mib", given.batch_memory_mib, 0, 2**30) or None,
        checkpoint_s=_seconds("--checkpoint-s", given.checkpoint_s),
        patience=_seconds("--patience", given.patience),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    def add(flag: str, variable: str, default: str, text: str, **more: Any) -> None:
        parser.add_argument(flag, default=environment.get(variable) or default, help=text, **more)

    parser = argparse.ArgumentParser(
        prog="rise_stage", description="Denoises stages of relay jobs.", allow_abbrev=False
    )
    add("--nats-url", "RISE_NATS_URL", "nats://127.0.0.1:4222", "the NATS server")
    add("--tier", "RISE_TIER", "edge", "edge or device")
    add("--pool", "RISE_POOL", "", "the pool to take work of (the tier's name)")
    parser.add_argument("--name", "--worker", default=environment.get("RISE_WORKER", ""), help="unique among workers")
    parser.add_argument(
        "--family",
        action="append",
        default=_words(environment, "RISE_FAMILIES"),
        help="a manifest, rise-shapes, or bus:NAME",
    )
    parser.add_argument(
        "--member", action="append", default=_words(environment, "RISE_MEMBERS"), help="load it before being ready"
    )
    parser.add_argument(
        "--label", action="append", default=_words(environment, "RISE_LABELS"), help="key=value, for device selectors"
    )
    add("--dedicated", "RISE_DEDICATED", "", "the one job that this worker is there for")
    parser.add_argument(
        "--private",
        action="store_true",
        default=environment.get("RISE_PRIVATE", "") not in ("", "0"),
        help="do only what a deviceSelector sends to this very worker",
    )
    add("--threads", "RISE_THREADS", "1", "CPU threads (1); 0 leaves it to torch")
    add("--device", "RISE_DEVICE", "auto", "cpu, cuda, cuda:1, mps, or auto (an accelerator where there is one)")
    add("--precision", "RISE_PRECISION", "fp32", "fp32, fp16 or bf16")
    add("--offload", "RISE_OFFLOAD", "none", "none, or encoders: these and the VAE are on the accelerator only in use")
    parser.add_argument(
        "--tiny-vae",
        action="store_true",
        default=environment.get("RISE_TINY_VAE", "") not in ("", "0"),
        help="decode pictures with the family's tiny VAE",
    )
    add("--memory-mib", "RISE_MEMORY_MIB", "0", "what weights in memory may take; 0 is no limit")
    add("--slots", "RISE_SLOTS", "0", "jobs at once; 0 is 1 on a device, and on the edge 8 (on a CPU 2)")
    add("--batch-memory-mib", "RISE_BATCH_MEMORY_MIB", "0", "what a shared pass may take; 0 is a share of what is free")
    add("--checkpoint-s", "RISE_CHECKPOINT_S", "2", "seconds of work that a death may cost (2); 0 is all of it")
    add("--patience", "RISE_PATIENCE", "10", "seconds to wait for NATS (10)")
    return parser


def _words(environment: Mapping[str, str], variable: str) -> list[str]:
    return [word for word in environment.get(variable, "").split(",") if word]


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidInput("--label", "key=value", text)
    return key, value


def _name(flag: str, text: str) -> str:
    """It becomes a token of subjects on the bus: the wrong character would take the work of others, or none."""
    try:
        return _NAMES.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(flag, "1 to 63 lower-case letters, digits and inner hyphens", text) from error


def _choice(flag: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise InvalidInput(flag, f"one of {', '.join(choices)}", value)
    return value


def _whole(flag: str, text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise InvalidInput(flag, f"a whole number from {low} to {high}", text)
    return int(text)


def _seconds(flag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise InvalidInput(flag, "seconds from 0 to 3600", text)
    return value
