"""Whatever a handoff holds: the latent that was sent, or a refusal that says what was wanted and what came."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from rise_contracts import codec
from rise_contracts.errors import HandoffRefused, InvalidInput, PayloadTooLarge, Refusal
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Solver, WireDtype
from rise_stage.engine.latents import Latent, decode_handoff, encode_handoff
from rise_stage.engine.quantise import LEVELS
from rise_stage.engine.run import run_grid
from rise_stage.engine.schedules import build_grid
from rise_stage.engine.solvers import Past, Prediction
from tests.damage import ODD, damaged, edited
from tests.unit.stage.builders import CONTRACT, ORIGIN, SCHEDULE, expected, noise

SMALL = (1, 2, 2, 2)
DTYPES: tuple[WireDtype, ...] = ("fp32", "fp16", "bf16", "q8")
SOLVERS: tuple[Solver, ...] = ("euler", "heun", "ddim", "dpmpp_2m", "unipc")
Made = tuple[HandoffHeader, bytes]

steady = settings(max_examples=150, deadline=None, derandomize=True)


def full(value: float, shape: tuple[int, ...] = SMALL) -> Tensor:
    return torch.full(shape, value)


def past_of(solver: Solver, *, older: bool = True) -> Past | None:
    """All that `solver` may remember, at levels above 1.5."""
    clean, sigma = noise(1, SMALL), torch.tensor(2.5)
    if solver == "dpmpp_2m":
        return Past(clean, sigma)
    if solver == "unipc":
        return Past(clean, sigma, noise(2, SMALL), *((noise(3, SMALL), torch.tensor(4.0)) if older else ()))
    return None


def made(dtype: WireDtype = "fp32", solver: Solver = "euler", *, lost: bool = False) -> Made:
    took = torch.ones(SMALL, dtype=torch.int8) if lost else None
    sent = Latent(noise(0, SMALL) * 1.5, 1.5, past_of(solver), took)
    return encode_handoff(sent, ORIGIN, "tiny", CONTRACT, dtype, solver)


def sealed(header: HandoffHeader, payload: bytes, **changes: Any) -> HandoffHeader:
    """The header that a sender would give `payload`: nothing is wrong but what is in it."""
    digest = hashlib.sha256(payload).hexdigest()
    return header.model_copy(update={"nbytes": len(payload), "sha256": digest, **changes})


def decode(header: HandoffHeader, payload: bytes, dtype: WireDtype = "fp32", solver: Solver = "euler") -> Latent:
    return decode_handoff(header, payload, expected(shape=SMALL, dtype=dtype, solver=solver))


def refused(header: HandoffHeader, payload: bytes, dtype: WireDtype = "fp32", solver: Solver = "euler") -> Refusal:
    """Why it is refused; the test fails where it is taken."""
    with pytest.raises(HandoffRefused) as caught:
        decode(header, payload, dtype, solver)
    check_line(str(caught.value))
    return caught.value.refusal


def check_line(text: str) -> None:
    assert text.isprintable(), ascii(text)
    assert len(text) < 1500
    assert "wanted" in text
    assert "got" in text


def equal(one: Latent, other: Latent) -> bool:
    pairs = [(one.x, other.x), (one.lost, other.lost), *zip(one.past or (), other.past or (), strict=True)]
    same = [a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs]
    return all(same) and one.sigma == other.sigma


cases = st.tuples(st.sampled_from(DTYPES), st.sampled_from(SOLVERS), st.booleans())
floats = st.floats(-60000, 60000, width=16)


@steady
@given(cases, st.lists(floats, min_size=8, max_size=8), st.booleans())
def test_a_whole_one_comes_back_as_its_dtype_holds_it(
    case: tuple[WireDtype, Solver, bool], values: list[float], older: bool
) -> None:
    dtype, solver, lost = case
    took = torch.arange(-4, 4, dtype=torch.int8).reshape(SMALL) if lost else None
    sent = Latent(torch.tensor(values).reshape(SMALL), 1.5, past_of(solver, older=older), took)
    header, payload = encode_handoff(sent, ORIGIN, "tiny", CONTRACT, dtype, solver)
    header = codec.decode(HandoffHeader, codec.encode(header))
    got = decode(header, payload, dtype, solver)
    if dtype == "fp32":
        assert equal(got, sent)
    half_a_step = sent.x.abs() * 2**-8
    if dtype == "q8":
        half_a_step = sent.x.abs().flatten(2).amax(-1)[..., None, None] / LEVELS * 0.501
    assert bool(((got.x - sent.x).abs() <= half_a_step + 1e-7).all())
    again = encode_handoff(got, ORIGIN, "tiny", CONTRACT, dtype, solver)
    if dtype != "q8":
        assert again == (header, payload)


@steady
@given(cases, st.data())
def test_damage_on_the_way_is_refused_by_size_or_digest(
    case: tuple[WireDtype, Solver, bool], data: st.DataObject
) -> None:
    dtype, solver, lost = case
    header, payload = made(dtype, solver, lost=lost)
    came = data.draw(damaged(payload))
    if came != payload:
        assert refused(header, came, dtype, solver) in (Refusal.SIZE, Refusal.DIGEST)


@steady
@given(cases, st.data())
def test_a_damaged_payload_that_is_sealed_is_taken_whole_or_refused(
    case: tuple[WireDtype, Solver, bool], data: st.DataObject
) -> None:
    dtype, solver, lost = case
    header, payload = made(dtype, solver, lost=lost)
    came = data.draw(damaged(payload))
    try:
        got = decode(sealed(header, came), came, dtype, solver)
    except HandoffRefused as error:
        check_line(str(error))
        return
    check_usable(got)


def check_usable(got: Latent) -> None:
    """All that the engine relies on."""
    assert got.x.shape == SMALL
    assert got.x.dtype == torch.float32
    past = [] if got.past is None else [value for value in got.past if value is not None]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in (got.x, *past))
    if got.past is not None:
        older = 14.6 if got.past.older_sigma is None else float(got.past.older_sigma)
        assert got.sigma < float(got.past.sigma) <= older <= 14.6 * (1 + 1e-5)


def raw(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, whether there is such a file or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F64", "F4", "F8_E8M0", "C64", "BOOL", "", "X"]) | ODD,
        "shape": st.lists(st.sampled_from([0, 1, 2, 8, 2**31, 2**62, 2**63, 2**64 - 1, -1]), max_size=6) | ODD,
        "data_offsets": st.lists(st.sampled_from([0, 4, 32, 64, 2**32, 2**63, -1]), min_size=2, max_size=2) | ODD,
    }
)
names = st.sampled_from(["x", "x.scale", "past_clean", "past_sigma", "__metadata__", ""]) | st.text(max_size=3)


@steady
@given(
    st.dictionaries(names, entries | ODD, max_size=3),
    st.binary(max_size=64),
    st.none() | st.sampled_from([0, 1, 8, 10**8, 2**40, 2**63, 2**64 - 1]),
)
def test_a_header_of_any_kind_is_refused(header: dict[str, Any], body: bytes, length: int | None) -> None:
    payload = raw(header, body, length)
    assert refused(sealed(made()[0], payload), payload) in (Refusal.MALFORMED, Refusal.SHAPE, Refusal.DTYPE)


@steady
@given(cases, st.data())
def test_an_edited_header_of_safetensors_is_taken_whole_or_refused(
    case: tuple[WireDtype, Solver, bool], data: st.DataObject
) -> None:
    dtype, solver, lost = case
    header, payload = made(dtype, solver, lost=lost)
    size = struct.unpack("<Q", payload[:8])[0]
    came = raw(data.draw(edited(payload[8 : 8 + size])), payload[8 + size :])
    try:
        check_usable(decode(sealed(header, came), came, dtype, solver))
    except HandoffRefused as error:
        check_line(str(error))


def entry(dtype: str, shape: list[int], end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


HOSTILE: dict[str, tuple[bytes, Refusal]] = {
    "nothing": (b"", Refusal.MALFORMED),
    "no tensors": (raw({}), Refusal.MALFORMED),
    "a length beyond the file": (raw({}, length=2**64 - 1), Refusal.MALFORMED),
    "a length of gigabytes": (raw({}, length=2**33), Refusal.MALFORMED),
    "brackets without end": (raw(b'{"x":' + b"[" * 100_000), Refusal.MALFORMED),
    "no JSON": (raw(b"\xff\xfe"), Refusal.MALFORMED),
    "a shape of terabytes": (raw({"x": entry("F32", [2**40], 2**42)}), Refusal.MALFORMED),
    "a shape that overflows": (raw({"x": entry("F32", [2**63, 4], 0)}), Refusal.MALFORMED),
    "a shape of nothing that overflows": (raw({"x": entry("F32", [0, 2**62, 2**62], 0)}), Refusal.SHAPE),
    "a side that no tensor has": (raw({"x": entry("F32", [0, 2**63], 0)}), Refusal.SHAPE),
    "a thousand sides": (raw({"x": entry("F32", [1] * 1000, 4)}, bytes(4)), Refusal.SHAPE),
    "no sides": (raw({"x": entry("F32", [], 4)}, bytes(4)), Refusal.SHAPE),
    "a type of four bits": (raw({"x": entry("F4", [*SMALL], 4)}, bytes(4)), Refusal.DTYPE),
    "a type of another library": (raw({"x": entry("F8_E8M0", [*SMALL], 8)}, bytes(8)), Refusal.DTYPE),
    "complex numbers": (raw({"x": entry("C64", [*SMALL], 64)}, bytes(64)), Refusal.DTYPE),
    "a name of a megabyte": (raw({"k" * 10**6: entry("F32", [1], 4)}, bytes(4)), Refusal.MALFORMED),
    "a name for a terminal": (raw({"\x1b[2J\n": entry("F32", [1], 4)}, bytes(4)), Refusal.MALFORMED),
    "thousands of tensors": (save({f"x{n}": torch.zeros(1) for n in range(5000)}), Refusal.MALFORMED),
    "bytes behind the last tensor": (raw({"x": entry("F32", [*SMALL], 32)}, bytes(40)), Refusal.MALFORMED),
    "a pickle": (b"PK\x03\x04archive/data.pkl", Refusal.MALFORMED),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_payload_is_refused_for_what_it_is(case: str) -> None:
    payload, why = HOSTILE[case]
    header = sealed(made()[0], payload)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(header, payload) is why
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024, "KiB taken to say no"


def test_many_names_are_not_all_told() -> None:
    payload = save({"n" * 50 + str(n): torch.zeros(1) for n in range(5000)})
    with pytest.raises(HandoffRefused) as caught:
        decode(sealed(made()[0], payload), payload)
    check_line(str(caught.value))


wrong = st.sampled_from([float("nan"), float("inf"), float("-inf")])


@steady
@given(cases, wrong, st.data())
def test_one_number_that_is_none_is_refused_wherever_it_is(
    case: tuple[WireDtype, Solver, bool], value: float, data: st.DataObject
) -> None:
    dtype, solver, lost = case
    header, payload = made(dtype, solver, lost=lost)
    tensors = load(payload)
    able = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point())
    name = data.draw(st.sampled_from(able))
    spoilt = tensors[name].clone().reshape(-1)
    spoilt[data.draw(st.integers(0, spoilt.numel() - 1))] = value
    came = save({**tensors, name: spoilt.reshape(tensors[name].shape)})
    assert refused(sealed(header, came), came, dtype, solver) in (Refusal.NOT_FINITE, Refusal.MALFORMED)


@pytest.mark.parametrize("change", [{"x": None}, {"x_lost": None}, {"y": full(0)}, {"x": full(0).double()}])
def test_a_tensor_too_few_too_many_or_of_another_type(change: dict[str, Tensor | None]) -> None:
    header, payload = made(lost=True)
    tensors = {name: tensor for name, tensor in {**load(payload), **change}.items() if tensor is not None}
    came = save(tensors)
    assert refused(sealed(header, came), came) in (Refusal.MALFORMED, Refusal.DTYPE)


def test_a_negative_scale_is_refused() -> None:
    header, payload = made("q8")
    tensors = load(payload)
    came = save({**tensors, "x.scale": -tensors["x.scale"]})
    assert refused(sealed(header, came), came, "q8") is Refusal.MALFORMED


def with_levels(solver: Solver, **levels: float) -> Made:
    header, payload = made("fp32", solver)
    came = save({**load(payload), **{name: torch.tensor(level) for name, level in levels.items()}})
    return sealed(header, came), came


@pytest.mark.parametrize("sigma", [-2.5, -0.0, 0.0, 1e-40, 1.0, 1.5, 15.0, 3e38])
@pytest.mark.parametrize("solver", ["dpmpp_2m", "unipc"])
def test_a_past_at_a_level_that_no_step_came_from_is_refused(solver: Solver, sigma: float) -> None:
    header, payload = with_levels(solver, past_sigma=sigma)
    assert refused(header, payload, solver=solver) is Refusal.SIGMA


@pytest.mark.parametrize("older", [-4.0, 0.0, 1.5, 2.0, 2.5, 15.0])
def test_the_older_past_is_at_a_higher_level(older: float) -> None:
    header, payload = with_levels("unipc", past_older_sigma=older)
    assert refused(header, payload, solver="unipc") is Refusal.SIGMA


@steady
@given(st.sampled_from(["dpmpp_2m", "unipc"]), st.floats(-20, 20, width=32), st.floats(-20, 20, width=32))
def test_whatever_past_is_taken_a_solver_can_go_on_from_it(solver: Solver, sigma: float, older: float) -> None:
    levels = {"past_sigma": sigma} | ({"past_older_sigma": older} if solver == "unipc" else {})
    header, payload = with_levels(solver, **levels)
    try:
        start = decode(header, payload, solver=solver)
    except HandoffRefused:
        return
    grid = build_grid(SCHEDULE, "trailing", 2, 1.5, 0.0)
    *_, last = run_grid(lambda x, *_: Prediction(x * 0.5, x * 0.25, x * 0.25), start, grid, solver)
    assert bool(torch.isfinite(last.x).all())


def test_what_rounding_took_makes_no_number_of_none() -> None:
    """One step below zero, as float32 numbers go, is NaN."""
    latent = Latent(full(0.0), 1.5, None, full(-1).to(torch.int8))
    header, payload = encode_handoff(latent, ORIGIN, "tiny", CONTRACT, "fp32", "ddim")
    start = decode(header, payload, solver="ddim")
    grid = build_grid(SCHEDULE, "trailing", 2, 1.5, 0.0)
    with pytest.raises(HandoffRefused, match="rounding took") as caught:
        next(run_grid(lambda x, *_: Prediction(x, x, x), start, grid, "ddim"))
    assert caught.value.refusal is Refusal.NOT_FINITE


@steady
@given(data=st.data())
def test_a_header_with_a_wrong_value_is_refused_or_fits(data: st.DataObject) -> None:
    header, payload = made("fp16", "dpmpp_2m")
    came = data.draw(edited(codec.encode(header)))
    try:
        got = decode(codec.decode(HandoffHeader, came), payload, "fp16", "dpmpp_2m")
    except (HandoffRefused, InvalidInput) as error:
        check_line(str(error))
        return
    assert equal(got, decode(header, payload, "fp16", "dpmpp_2m"))


def test_another_contract_version_is_refused_by_both_readers() -> None:
    header, payload = made()
    newer = header.model_copy(update={"contract_version": 2})
    assert refused(newer, payload) is Refusal.VERSION
    with pytest.raises(InvalidInput, match="contract_version"):
        codec.decode(HandoffHeader, codec.encode(newer))


@pytest.mark.parametrize("value", [7e4, -1e30])
def test_what_half_precision_does_not_hold_is_not_sent(value: float) -> None:
    with pytest.raises(HandoffRefused, match="x beyond 65504; not sent; choose wireDtype bf16 or fp32") as caught:
        encode_handoff(Latent(full(value), 1.5), ORIGIN, "tiny", CONTRACT, "fp16", "euler")
    assert not caught.value.retriable
    header, payload = encode_handoff(Latent(full(value), 1.5), ORIGIN, "tiny", CONTRACT, "bf16", "euler")
    assert torch.isfinite(decode(header, payload, "bf16").x).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_that_is_no_number_is_sent(value: float, dtype: WireDtype) -> None:
    bad, good = full(value), noise(0, SMALL)
    for x, clean in ((bad, good), (good, bad)):
        sent = Latent(x, 1.5, Past(clean, torch.tensor(2.5)))
        with pytest.raises(HandoffRefused, match="not sent") as caught:
            encode_handoff(sent, ORIGIN, "tiny", CONTRACT, dtype, "dpmpp_2m")
        assert caught.value.refusal is Refusal.NOT_FINITE


def test_a_latent_beyond_the_limit_is_not_sent() -> None:
    huge = torch.zeros((1, 4, 4096, 4097))  # 256 MiB and 64 KiB
    with pytest.raises(PayloadTooLarge, match="handoff: wanted at most 268435456 bytes"):
        encode_handoff(Latent(huge, 1.5), ORIGIN, "tiny", CONTRACT, "fp32", "euler")
