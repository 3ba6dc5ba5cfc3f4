"""Handoffs: what comes back is what went out, and everything else is refused with its reason."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from rise_contracts.errors import HandoffRefused, Refusal
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Solver, WireDtype
from rise_stage.engine.latents import Latent, Origin, decode_handoff, encode_handoff
from rise_stage.engine.solvers import Past
from tests.unit.stage.builders import CONTRACT, ORIGIN, SHAPE, expected, latent, noise

DTYPES: tuple[WireDtype, ...] = ("fp32", "fp16", "bf16", "q8")


def encode(given: Latent, dtype: WireDtype = "fp32", solver: Solver = "euler") -> tuple[HandoffHeader, bytes]:
    return encode_handoff(given, ORIGIN, "tiny", CONTRACT, dtype, solver)


def sealed(header: HandoffHeader, payload: bytes) -> HandoffHeader:
    """The header of another payload."""
    digest = hashlib.sha256(payload).hexdigest()
    return header.model_copy(update={"nbytes": len(payload), "sha256": digest})


def test_fp32_comes_back_bit_for_bit_with_its_past_and_what_was_lost() -> None:
    lost = torch.randint(-2, 3, SHAPE, dtype=torch.int8)
    sent = Latent(noise() * 1.5, 1.5, Past(noise(1), torch.tensor(2.5)), lost)
    header, payload = encode(sent, solver="dpmpp_2m")
    got = decode_handoff(header, payload, expected(solver="dpmpp_2m"))
    assert torch.equal(got.x, sent.x)
    assert got.past is not None
    assert sent.past is not None
    assert torch.equal(got.past.clean, sent.past.clean)
    assert float(got.past.sigma) == 2.5
    assert got.lost is not None
    assert torch.equal(got.lost, lost)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_latent_with_frames_comes_back_with_one_scale_per_channel(dtype: WireDtype) -> None:
    shape = (2, 4, 3, 8, 8)
    sent = Latent(noise(shape=shape) * 1.5, 1.5)
    header, payload = encode(sent, dtype)
    assert header.shape == shape
    got = decode_handoff(header, payload, expected(shape=shape, dtype=dtype))
    assert got.x.shape == shape
    assert float((got.x - sent.x).abs().max()) <= (0 if dtype == "fp32" else 0.03)
    if dtype == "q8":
        assert load(payload)["x.scale"].shape == (2, 4)


def test_a_latent_of_another_number_of_frames_is_refused() -> None:
    header, payload = encode(Latent(noise(shape=(2, 4, 3, 8, 8)), 1.5))
    for wanted in ((2, 4, 2, 8, 8), (2, 4, 8, 8)):
        with pytest.raises(HandoffRefused) as caught:
            decode_handoff(header, payload, expected(shape=wanted))
        assert caught.value.refusal is Refusal.SHAPE


def test_all_that_unipc_remembers_comes_back() -> None:
    sent = Latent(noise(), 1.5, Past(noise(1), torch.tensor(2.5), noise(2), noise(3), torch.tensor(4.0)))
    header, payload = encode(sent, solver="unipc")
    got = decode_handoff(header, payload, expected(solver="unipc")).past
    assert got is not None
    assert sent.past is not None
    for field, other in zip(got, sent.past, strict=True):
        assert field is not None
        assert other is not None
        assert torch.equal(field, other)


def test_a_past_that_the_solver_does_not_have_is_refused() -> None:
    header, payload = encode(Latent(noise(), 1.5, Past(noise(1), torch.tensor(2.5))), solver="heun")
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(header, payload, expected(solver="heun"))
    assert caught.value.refusal is Refusal.SOLVER


@pytest.mark.parametrize(("s", "taken"), [(0.7, True), (1.0, True), (0.5, False), (0.6, False), (2.5, False)])
def test_a_past_on_a_flow_is_at_a_level_of_the_flow(s: float, *, taken: bool) -> None:
    """Sigma 1.5 is s = 0.6 there, and all noise is s = 1."""
    header, payload = encode(Latent(noise(), 1.5, Past(noise(1), torch.tensor(s))), solver="dpmpp_2m")
    wanted = expected(solver="dpmpp_2m", sigma_max=math.inf, flow=True)
    if taken:
        assert decode_handoff(header, payload, wanted).past is not None
    else:
        with pytest.raises(HandoffRefused) as caught:
            decode_handoff(header, payload, wanted)
        assert caught.value.refusal is Refusal.SIGMA


@pytest.mark.parametrize(("dtype", "relative"), [("fp16", 5e-4), ("bf16", 4e-3), ("q8", 4e-3)])
def test_fewer_bits_cost_a_bounded_error(dtype: WireDtype, relative: float) -> None:
    sent = latent()
    header, payload = encode(sent, dtype)
    got = decode_handoff(header, payload, expected(dtype=dtype))
    error = (got.x - sent.x).abs()
    if dtype == "q8":
        bound = sent.x.abs().flatten(2).amax(-1) / 127 * 0.501
        assert bool((error.flatten(2).amax(-1) <= bound).all())
    else:
        assert bool((error <= relative * sent.x.abs() + 1e-7).all())


@pytest.mark.parametrize(("dtype", "most"), [("fp32", 4), ("fp16", 2), ("bf16", 2), ("q8", 1)])
def test_a_payload_has_the_size_that_its_dtype_promises(dtype: WireDtype, most: int) -> None:
    _, payload = encode(Latent(noise(shape=(1, 4, 64, 64)), 1.5), dtype)
    assert most * 4 * 64 * 64 <= len(payload) <= most * 4 * 64 * 64 + 400


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "q8"])
def test_what_was_lost_travels_only_where_nothing_else_is(dtype: WireDtype) -> None:
    header, _ = encode(Latent(noise(), 1.5, None, torch.zeros(SHAPE, dtype=torch.int8)), dtype)
    assert header.solver_state == ()


def test_a_row_of_zeros_survives_eight_bits() -> None:
    header, payload = encode(Latent(torch.zeros(SHAPE), 1.5), "q8")
    assert torch.equal(decode_handoff(header, payload, expected(dtype="q8")).x, torch.zeros(SHAPE))


@given(damage=st.data())
def test_any_flipped_bit_is_refused(damage: st.DataObject) -> None:
    header, payload = encode(latent())
    place = damage.draw(st.integers(0, len(payload) - 1))
    changed = bytearray(payload)
    changed[place] ^= 1 << damage.draw(st.integers(0, 7))
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(header, bytes(changed), expected())
    assert caught.value.refusal is Refusal.DIGEST
    assert caught.value.retriable


@given(content=st.binary(max_size=200))
def test_any_foreign_payload_is_refused(content: bytes) -> None:
    header, _ = encode(latent())
    if not content:
        return
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(sealed(header, content), content, expected())
    assert caught.value.refusal is Refusal.MALFORMED


def test_a_truncated_payload_is_refused_by_its_size() -> None:
    header, payload = encode(latent())
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(header, payload[:-1], expected())
    assert caught.value.refusal is Refusal.SIZE


HEADER_FAULTS: dict[str, tuple[dict[str, object], Refusal]] = {
    "another version": ({"contract_version": 2}, Refusal.VERSION),
    "another job": ({"job": "job-2"}, Refusal.JOB),
    "another attempt": ({"attempt": 2}, Refusal.ATTEMPT),
    "another stage": ({"stage": 1}, Refusal.STAGE),
    "another family": ({"family": "other"}, Refusal.FAMILY),
    "another latent space": ({"latent_contract": "b" * 64}, Refusal.LATENT_CONTRACT),
    "another encoding": ({"encoding": "flow"}, Refusal.ENCODING),
    "another size": ({"shape": (2, 4, 16, 8)}, Refusal.SHAPE),
    "another dtype": ({"dtype": "fp16"}, Refusal.DTYPE),
    "another solver": ({"solver": "ddim"}, Refusal.SOLVER),
    "a state that is not known": ({"solver_state": ("velocity",)}, Refusal.SOLVER),
    "another sigma": ({"sigma": 1.6}, Refusal.SIGMA),
}


@pytest.mark.parametrize("case", HEADER_FAULTS)
def test_a_header_that_does_not_fit_is_refused_with_the_reason(case: str) -> None:
    update, wanted = HEADER_FAULTS[case]
    header, payload = encode(latent())
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(header.model_copy(update=update), payload, expected())
    assert caught.value.refusal is wanted
    assert not caught.value.retriable


def test_a_member_refuses_more_noise_than_it_was_trained_for() -> None:
    header, payload = encode(latent(1.5))
    with pytest.raises(HandoffRefused, match="trained for") as caught:
        decode_handoff(header, payload, expected(sigma=None, sigma_max=1.0))
    assert caught.value.refusal is Refusal.SIGMA


def test_the_highest_level_of_a_member_is_taken() -> None:
    header, payload = encode(latent(1.5))
    assert decode_handoff(header, payload, expected(sigma=None, sigma_max=1.5)).sigma == 1.5


def test_a_sigma_that_went_through_float32_is_the_configured_one() -> None:
    sent = Latent(noise(), float(torch.tensor(1.2)))
    header, payload = encode(sent)
    assert decode_handoff(header, payload, expected(sigma=1.2)).sigma == sent.sigma


TENSOR_FAULTS = {
    "missing": ({}, Refusal.MALFORMED),
    "one too many": ({"x": noise(), "y": noise()}, Refusal.MALFORMED),
    "of another shape": ({"x": noise(shape=(2, 4, 8, 4))}, Refusal.SHAPE),
    "of another type": ({"x": noise().double()}, Refusal.DTYPE),
    "not a number": ({"x": torch.full(SHAPE, float("nan"))}, Refusal.NOT_FINITE),
    "infinite": ({"x": torch.full(SHAPE, float("inf"))}, Refusal.NOT_FINITE),
}


@pytest.mark.parametrize("case", TENSOR_FAULTS)
def test_tensors_that_do_not_fit_are_refused_with_the_reason(case: str) -> None:
    tensors, wanted = TENSOR_FAULTS[case]
    payload = save(tensors)
    header = sealed(encode(latent())[0], payload)
    with pytest.raises(HandoffRefused) as caught:
        decode_handoff(header, payload, expected())
    assert caught.value.refusal is wanted


def test_a_latent_with_nan_is_not_even_sent() -> None:
    with pytest.raises(HandoffRefused) as caught:
        encode(Latent(torch.full(SHAPE, float("nan")), 1.0))
    assert caught.value.refusal is Refusal.NOT_FINITE


def test_the_header_names_its_origin() -> None:
    header, _ = encode_handoff(latent(), Origin("j", 3, 1), "tiny", CONTRACT, "fp16", "ddim")
    assert (header.job, header.attempt, header.stage, header.shape) == ("j", 3, 1, SHAPE)
