"""The two forms of a latent, and that changing between them loses nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rise_stage.engine.levels import from_ve, level_of, level_of_alpha_bar, to_ve
from tests.unit.stage.builders import noise


@given(sigma=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_a_vp_latent_comes_back_bit_for_bit(sigma: float, seed: int) -> None:
    alpha = level_of(torch.tensor(sigma)).alpha
    x = noise(seed)
    scaled, lost = to_ve(x, alpha)
    assert torch.equal(from_ve(scaled, alpha, lost), x)
    assert int(lost.abs().max()) <= 2


def test_without_what_was_lost_it_comes_back_nearly() -> None:
    alpha = level_of(torch.tensor(3.7)).alpha
    x = noise()
    assert torch.allclose(from_ve(to_ve(x, alpha)[0], alpha), x, rtol=3e-7, atol=0)


def test_zeros_of_both_signs_and_strides_survive() -> None:
    alpha = level_of(torch.tensor(2.0)).alpha
    x = torch.tensor([[0.0, -0.0], [1e-38, -1e-38]]).T
    scaled, lost = to_ve(x, alpha)
    assert torch.equal(from_ve(scaled, alpha, lost).view(torch.int32), x.contiguous().view(torch.int32))


@given(sigma=st.floats(0.01, 1000))
def test_a_level_is_variance_preserving(sigma: float) -> None:
    level = level_of(torch.tensor(sigma))
    assert float(level.alpha**2 + level.spread**2) == pytest.approx(1, abs=1e-6)
    assert float(level.spread / level.alpha) == pytest.approx(sigma, rel=1e-6)


def test_a_level_from_alphas_is_the_level_from_sigma() -> None:
    bar = torch.tensor(0.3)
    sigma = ((1 - bar) / bar) ** 0.5
    for one, other in zip(level_of(sigma), level_of_alpha_bar(sigma, bar), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-6)
