"""A half-denoised latent as bytes and back: contract version 1 of `rise_contracts.handoff`.

The receiver refuses with a reason whatever does not match, and never guesses.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, deserialize
from safetensors.torch import save
from torch import Tensor

from rise_contracts.errors import HandoffRefused, PayloadTooLarge, Refusal
from rise_contracts.handoff import CONTRACT_VERSION, HandoffHeader, check_payload
from rise_contracts.model import Solver, WireDtype
from rise_contracts.subjects import PAYLOAD_LIMIT
from rise_stage.engine.flow import to_s
from rise_stage.engine.quantise import SCALE, STORED, pack, packed_names, unpack
from rise_stage.engine.schedules import same_sigma
from rise_stage.engine.solvers import REMEMBERED, Past

LATENT = "x"
LOST = "x_lost"
WORDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int8: "I8"}
"""What safetensors calls the types."""
PAST = "past_"
"""Before the name of a field of `Past`. A past travels only where it is of use: see `engine.handed_over`."""


@dataclass(frozen=True)
class Latent:
    """A latent at a noise level, with what the solver remembers.

    Attributes:
        x: (B, C, H, W) float32, VE form.
        sigma: its level, as `Schedule.snap` leaves it.
        past: what a multistep solver remembers.
        lost: (B, C, H, W) int8, what the change of form rounded away; see `levels.to_ve`.
    """

    x: Tensor
    sigma: float
    past: Past | None = None
    lost: Tensor | None = None


@dataclass(frozen=True)
class Origin:
    """Who makes a handoff: the job, the try and the index of the stage that ends."""

    job: str
    attempt: int
    stage: int


@dataclass(frozen=True)
class Expected:
    """What a receiver can take.

    Attributes:
        sigma: None is any level up to `sigma_max`, the highest that the member knows.
        flow: whether the member is trained on flow matching: levels of a past are then those of the flow.
    """

    origin: Origin
    family: str
    latent_contract: str
    shape: tuple[int, ...]
    dtype: WireDtype
    solver: Solver
    sigma: float | None
    sigma_max: float
    flow: bool = False


def encode_handoff(
    latent: Latent, origin: Origin, family: str, latent_contract: str, dtype: WireDtype, solver: Solver
) -> tuple[HandoffHeader, bytes]:
    """The header and the safetensors payload of `latent`.

    Raises HandoffRefused where it is not finite, or `dtype` does not reach as far; PayloadTooLarge.
    """
    tensors = pack(LATENT, latent.x, dtype)
    state: tuple[str, ...] = ()
    if latent.past is not None:
        remembered = {PAST + name: value for name, value in latent.past._asdict().items() if value is not None}
        for name, value in remembered.items():
            if _is_level(name):
                tensors[name] = value.detach().to("cpu", torch.float32).reshape(())
            else:
                tensors |= pack(name, value, dtype)
        state = tuple(remembered)
    _check_sendable(latent, tensors, dtype)
    if latent.lost is not None and dtype == "fp32":
        tensors[LOST] = latent.lost.detach().cpu().contiguous()
        state = (*state, LOST)
    payload = save(tensors)
    if len(payload) > PAYLOAD_LIMIT:
        raise PayloadTooLarge("handoff", len(payload), PAYLOAD_LIMIT)
    header = HandoffHeader(
        job=origin.job,
        attempt=origin.attempt,
        stage=origin.stage,
        family=family,
        latent_contract=latent_contract,
        sigma=latent.sigma,
        shape=tuple(latent.x.shape),
        dtype=dtype,
        solver=solver,
        solver_state=state,
        sha256=hashlib.sha256(payload).hexdigest(),
        nbytes=len(payload),
    )
    return header, payload


def decode_handoff(header: HandoffHeader, payload: bytes, expected: Expected, *, checked: bool = False) -> Latent:
    """The latent of a handoff; `checked`: that the payload is what its header states is known.

    Raises HandoffRefused where anything is not as expected.
    """
    check_header(header, expected)
    if not checked:
        check_payload(header, payload)
    tensors = _load(header, payload)
    x = unpack(LATENT, tensors, header.dtype)
    fields = [name for name in header.solver_state if name != LOST]
    found = {name: tensors[name] if _is_level(name) else unpack(name, tensors, header.dtype) for name in fields}
    past = Past(**{name.removeprefix(PAST): tensor for name, tensor in found.items()}) if found else None
    for name, tensor in {LATENT: x, **found}.items():
        if not finite(tensor):
            raise HandoffRefused(Refusal.NOT_FINITE, "finite numbers", f"{name} with NaN or infinity")
    if past is not None:
        _check_past(header, past, expected)
    return Latent(x, header.sigma, past, tensors.get(LOST))


def check_header(header: HandoffHeader, expected: Expected) -> None:
    """Refuse a header that does not fit, for the first reason found."""
    origin = expected.origin
    wanted: list[tuple[Refusal, object, object]] = [
        (Refusal.VERSION, CONTRACT_VERSION, header.contract_version),
        (Refusal.JOB, origin.job, header.job),
        (Refusal.ATTEMPT, origin.attempt, header.attempt),
        (Refusal.STAGE, origin.stage, header.stage),
        (Refusal.FAMILY, expected.family, header.family),
        (Refusal.LATENT_CONTRACT, expected.latent_contract, header.latent_contract),
        (Refusal.ENCODING, "vp", header.encoding),
        (Refusal.SHAPE, expected.shape, header.shape),
        (Refusal.DTYPE, expected.dtype, header.dtype),
        (Refusal.SOLVER, expected.solver, header.solver),
    ]
    for refusal, want, got in wanted:
        if want != got:
            raise HandoffRefused(refusal, want, got)
    known = _states(header.solver)
    if header.solver_state not in known:
        raise HandoffRefused(Refusal.SOLVER, f"solver state of {known[-1]}", header.solver_state)
    _check_sigma(header.sigma, expected)


def _check_sigma(sigma: float, expected: Expected) -> None:
    if expected.sigma is not None and not same_sigma(sigma, expected.sigma):
        raise HandoffRefused(Refusal.SIGMA, f"sigma {expected.sigma:g}, as configured", f"{sigma:g}")
    if sigma > expected.sigma_max and not same_sigma(sigma, expected.sigma_max):
        wanted = f"sigma at most {expected.sigma_max:g}, the highest this member was trained for"
        raise HandoffRefused(Refusal.SIGMA, wanted, f"{sigma:g}", "hand over later, or to another member")


def finite(tensor: Tensor) -> bool:
    """Whether all of it is finite: the extremes tell, at a twentieth of the price of looking at every number."""
    return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))


def _check_sendable(latent: Latent, tensors: Mapping[str, Tensor], dtype: WireDtype) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not finite(tensor):
            if finite(latent.x) and dtype == "fp16":
                hint = "not sent; choose wireDtype bf16 or fp32"
                raise HandoffRefused(Refusal.NOT_FINITE, "numbers that fp16 holds", f"{name} beyond 65504", hint)
            raise HandoffRefused(Refusal.NOT_FINITE, "finite numbers", f"{name} with NaN or infinity", "not sent")


def _check_past(header: HandoffHeader, past: Past, expected: Expected) -> None:
    """What a solver remembers lies at higher levels, the older the higher: it divides by their differences."""
    here, top = header.sigma, expected.sigma_max
    if expected.flow:
        here, top = to_s(here), to_s(top)
    levels = [here, *(float(level) for level in (past.sigma, past.older_sigma) if level is not None)]
    rising = all(earlier < later for earlier, later in itertools.pairwise(levels))
    if not rising or (levels[-1] > top and not same_sigma(levels[-1], top)):
        wanted = f"a past at levels that rise from {here:g}, up to {top:g}"
        raise HandoffRefused(Refusal.SIGMA, wanted, f"levels {levels[1:]}")


def _load(header: HandoffHeader, payload: bytes) -> dict[str, Tensor]:
    """The tensors of a payload; none is made before its name, shape and type are known to be right."""
    try:
        stored: dict[str, dict[str, Any]] = dict(deserialize(payload))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise HandoffRefused(Refusal.MALFORMED, "a safetensors payload", str(error) or "another file") from error
    names = _names(header)
    if set(stored) != names:
        raise HandoffRefused(Refusal.MALFORMED, f"tensors {sorted(names)}", sorted(stored))
    tensors = {}
    for name, entry in stored.items():
        shape, dtype = _form(name, header)
        if tuple(entry["shape"]) != shape:
            raise HandoffRefused(Refusal.SHAPE, f"{name} of {shape}", tuple(entry["shape"]))
        if entry["dtype"] != WORDS[dtype]:
            raise HandoffRefused(Refusal.DTYPE, f"{name} as {WORDS[dtype]}", entry["dtype"])
        tensors[name] = torch.frombuffer(entry["data"], dtype=dtype).reshape(shape)
        if name.endswith(SCALE) and bool((tensors[name] < 0).any()):
            raise HandoffRefused(Refusal.MALFORMED, f"{name} of 0 or more", f"{float(tensors[name].min()):g}")
    return tensors


def _states(solver: Solver) -> list[tuple[str, ...]]:
    """What may travel beside the latent."""
    pasts = [(), *(tuple(PAST + name for name in names) for names in REMEMBERED.get(solver, ()))]
    return [(*past, *lost) for past in pasts for lost in ((), (LOST,))]


def _is_level(name: str) -> bool:
    return name.endswith("sigma")


def _names(header: HandoffHeader) -> set[str]:
    state = set(header.solver_state)
    whole = {name for name in state if name == LOST or _is_level(name)}
    return packed_names((LATENT, *sorted(state - whole)), header.dtype) | whole


def _form(name: str, header: HandoffHeader) -> tuple[tuple[int, ...], torch.dtype]:
    if _is_level(name):
        return (), torch.float32
    if name == LOST:
        return header.shape, torch.int8
    if name.endswith(SCALE):
        return header.shape[:2], torch.float32
    return header.shape, STORED[header.dtype]
