"""Whole pipelines of the true architectures with tiny random weights, made while the tests run."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from rise_stage.engine import Engine

WIDTH = 32
"""Width of a text encoder; SDXL's denoiser attends to two side by side."""

SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "steps_offset": 1,
}


def tiny_family(folder: Path, architecture: str = "sd", **scheduler: Any) -> ModelFamily:
    """Save a pipeline with the members large, small and finisher to `folder`; `scheduler` are options of its own."""
    options = {"prediction_type": "v_prediction", "timestep_spacing": "trailing", **SCHEDULE, **scheduler}
    stock = EulerDiscreteScheduler.from_config(options)
    make = {"sd": _sd, "sdxl": _sdxl, "pixart": _pixart}[architecture]
    make(folder, stock).save_pretrained(folder, safe_serialization=True)
    for seed, name in enumerate(("small", "finisher"), start=10):
        network = _transformer(seed) if architecture == "pixart" else _unet(architecture, seed)
        network.save_pretrained(folder / name / _network(architecture), safe_serialization=True)
    return manifest(folder, architecture)


def _network(architecture: str) -> str:
    return "transformer" if architecture == "pixart" else "unet"


def manifest(folder: Path, architecture: str = "sd", **spec: Any) -> ModelFamily:
    network = _network(architecture)
    members = (
        Member(name="large", default_steps=20),
        Member(name="small", subfolder=f"small/{network}", default_steps=20, tier="device"),
        Member(name="finisher", subfolder=f"finisher/{network}", default_steps=6, tier="device", sigma_max=2.0),
    )
    wanted = {"architecture": architecture, "base": Source(path=str(folder)), "members": members, **spec}
    return ModelFamily(metadata=Metadata(name="tiny"), spec=ModelFamilySpec(**wanted))


def stock_pipeline(folder: Path, scheduler: Any, architecture: str = "sd", **options: Any) -> Any:
    """The oracle: the stock pipeline of `folder` with a stock scheduler class on the folder's own options."""
    kinds = {"sd": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline, "pixart": PixArtSigmaPipeline}
    pipeline = kinds[architecture].from_pretrained(folder, use_safetensors=True)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    return partial(_call_pixart, pipeline) if architecture == "pixart" else pipeline


def _call_pixart(pipeline: Any, prompt: Any, *, negative_prompt: str | None = None, **options: Any) -> Any:
    """Without the sizes of PixArt's own training, and with the longest text that the encoder was made for."""
    return pipeline(
        prompt,
        negative_prompt=negative_prompt or "",
        use_resolution_binning=False,
        clean_caption=False,
        max_sequence_length=pipeline.tokenizer.model_max_length,
        **options,
    )


@contextmanager
def rescheduled(engine: Engine, options: dict[str, Any]) -> Iterator[Engine]:
    """The engine of a family whose scheduler has other options; the weights stay, whatever they make of it."""
    assert engine.manifest.spec.base.path is not None
    path = Path(engine.manifest.spec.base.path) / "scheduler" / "scheduler_config.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **options}))
    try:
        yield Engine.load(engine.manifest, ["large"])
    finally:
        path.write_text(before)


def _sd(folder: Path, scheduler: Any) -> Any:
    text, _ = _text_encoders()
    tokenizer = _tokenizer(folder / "tokenizer")
    return StableDiffusionPipeline(
        _vae(), text, tokenizer, _unet("sd", 1), scheduler, None, None, requires_safety_checker=False
    )


def _sdxl(folder: Path, scheduler: Any) -> Any:
    one, two = _text_encoders()
    tokenizers = [_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    return StableDiffusionXLPipeline(_vae(), one, two, *tokenizers, _unet("sdxl", 1), scheduler, add_watermarker=False)


def _pixart(folder: Path, scheduler: Any) -> Any:
    torch.manual_seed(3)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    tokenizer = T5Tokenizer(
        vocab=[*pieces, *((letter, -3.0) for letter in string.ascii_lowercase)], extra_ids=0, model_max_length=20
    )
    text = T5EncoderModel(
        T5Config(vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=2, num_heads=4)
    )
    return PixArtSigmaPipeline(tokenizer, text, _vae(), _transformer(1), scheduler)


def _transformer(seed: int) -> Any:
    """With the learned variance of the real ones, which sampling leaves out."""
    torch.manual_seed(seed)
    return PixArtTransformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=WIDTH,
        caption_channels=WIDTH,
    )


def _unet(architecture: str, seed: int) -> Any:
    torch.manual_seed(seed)
    extra: dict[str, Any] = {}
    if architecture == "sdxl":
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
        }
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        cross_attention_dim=WIDTH if architecture == "sd" else 2 * WIDTH,
        norm_num_groups=8,
        use_linear_projection=True,
        **extra,
    )


def _vae() -> Any:
    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=0.7,
    )


def _text_encoders() -> tuple[Any, Any]:
    torch.manual_seed(3)
    config = CLIPTextConfig(
        vocab_size=2 * len(string.ascii_lowercase) + 3,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=WIDTH,
        hidden_act="gelu",
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config), CLIPTextModelWithProjection(config)


def _tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer whose words are spelled letter by letter."""
    folder.mkdir(parents=True)
    names = ["<|startoftext|>", "<|endoftext|>", *(c + end for c in string.ascii_lowercase for end in ("", "</w>"))]
    (folder / "vocab.json").write_text(json.dumps({name: index for index, name in enumerate([*names, "!"])}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)
