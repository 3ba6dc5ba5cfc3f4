"""Weights are in memory once while they are loaded, and a digest of them never has them there at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import _random, _resident
from rise_stage.engine.latent_contract import Stored, latent_digest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own figures are read from /proc")
VAE = {"latent_channels": 4, "block_out_channels": (8, 8), "scaling_factor": 0.2}
MOST_TIMES = 1.15


def test_a_text_encoder_is_loaded_without_a_second_copy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    _random.text_encoder(512, 12, projects=True).save_pretrained(tmp_path / "text_encoder")
    grown = _resident.loading(tmp_path, "text_encoder", "fp32")
    assert grown.weights > 100e6
    assert 0.9 < grown.times <= MOST_TIMES


def test_a_denoiser_in_half_precision_is_loaded_without_a_second_copy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    _random.unet((96, 192, 512), 1).half().save_pretrained(tmp_path / "unet")
    grown = _resident.loading(tmp_path, "unet", "fp16")
    assert grown.weights > 100e6
    assert 0.9 < grown.times <= MOST_TIMES


def test_a_digest_has_one_weight_in_memory_at_a_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    _random.text_encoder(512, 12).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = Stored([file])
    latent_digest(VAE, {"first": torch.zeros(1)})
    before = _resident.forget_peak()
    latent_digest(VAE, weights)
    assert _resident.peak_bytes() - before < 0.2 * file.stat().st_size
