"""Whole pipelines of the true architectures with tiny random weights, made while the tests run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    Flux2Pipeline,
    FluxPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    WanPipeline,
)

from rise_contracts.model import Solver
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from rise_stage.engine import Engine
from tests.model import tiny_flow, tiny_flux2, tiny_sana, tiny_wan
from tests.model.tiny_text import WIDTH, clips, t5, tokenizer
from tests.model.tiny_vae import vae

FLOWS = ("sd3", "flux", "flux2", "sana", "wan")
KINDS: dict[str, Any] = {
    "sd": StableDiffusionPipeline,
    "sdxl": StableDiffusionXLPipeline,
    "pixart": PixArtSigmaPipeline,
    "sd3": StableDiffusion3Pipeline,
    "flux": FluxPipeline,
    "flux2": Flux2Pipeline,
    "wan": WanPipeline,
    "sana": SanaPipeline,
}
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
    flow = architecture in FLOWS
    stock = tiny_flow.scheduler_of(architecture, **scheduler) if flow else EulerDiscreteScheduler.from_config(options)
    _PIPELINES[architecture](folder, stock).save_pretrained(folder, safe_serialization=True)
    for seed, name in enumerate(("small", "finisher"), start=10):
        network = _smaller(architecture, seed)
        network.save_pretrained(folder / name / _network(architecture), safe_serialization=True)
    return manifest(folder, architecture)


def _network(architecture: str) -> str:
    return "unet" if architecture in ("sd", "sdxl") else "transformer"


def _smaller(architecture: str, seed: int) -> Any:
    if architecture == "sd3":
        return tiny_flow.sd3_transformer(seed, 1)
    if architecture == "flux":
        return tiny_flow.flux_transformer(seed, 1)
    if architecture == "flux2":
        return tiny_flux2.transformer(seed, 1)
    if architecture == "wan":
        return tiny_wan.transformer(seed, 1, heads=1)
    if architecture == "sana":
        return tiny_sana.transformer(seed, heads=2, layers=3)
    return _transformer(seed) if architecture == "pixart" else _unet(architecture, seed)


def manifest(folder: Path, architecture: str = "sd", **spec: Any) -> ModelFamily:
    network = _network(architecture)
    members = (
        Member(name="large", default_steps=20),
        Member(name="small", subfolder=f"small/{network}", default_steps=20, tier="device"),
        Member(name="finisher", subfolder=f"finisher/{network}", default_steps=6, tier="device", sigma_max=2.0),
    )
    own = {"default_frames": tiny_wan.FRAMES} if architecture == "wan" else {}
    wanted = {"architecture": architecture, "base": Source(path=str(folder)), "members": members, **own, **spec}
    return ModelFamily(metadata=Metadata(name="tiny"), spec=ModelFamilySpec(**wanted))


def stock_pipeline(folder: Path, scheduler: Any, architecture: str = "sd", **options: Any) -> Any:
    """The oracle: the stock pipeline of `folder` with a stock scheduler class on the folder's own options."""
    pipeline = KINDS[architecture].from_pretrained(folder, use_safetensors=True)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    return partial(_CALLS[architecture], pipeline) if architecture in _CALLS else pipeline


def flow_options(solver: Solver) -> dict[str, Any]:
    """What a stock scheduler for `solver` has to be told, whatever class a tiny flow family's own is of."""
    if solver in ("dpmpp_2m", "unipc"):
        return {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    return {"shift": 3.0}


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


def _call_sd3(pipeline: Any, prompt: Any, **options: Any) -> Any:
    return pipeline(prompt, max_sequence_length=pipeline.tokenizer_3.model_max_length, **options)


def _call_flux(pipeline: Any, prompt: Any, *, height: int = 64, width: int = 64, **options: Any) -> Any:
    """With latents as they are after unpacking, in place of the stock pipeline's tokens."""
    longest = pipeline.tokenizer_2.model_max_length
    made = pipeline(prompt, height=height, width=width, max_sequence_length=longest, **options)
    if options.get("output_type") == "latent":
        made.images = pipeline._unpack_latents(made.images, height, width, pipeline.vae_scale_factor)
    return made


def _call_sana(pipeline: Any, prompt: Any, **options: Any) -> Any:
    """Without the sizes of Sana's own training."""
    return pipeline(prompt, height=128, width=128, use_resolution_binning=False, **options)


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
    text, _ = clips()
    return StableDiffusionPipeline(
        vae(),
        text,
        tokenizer(folder / "tokenizer"),
        _unet("sd", 1),
        scheduler,
        None,
        None,
        requires_safety_checker=False,
    )


def _sdxl(folder: Path, scheduler: Any) -> Any:
    one, two = clips()
    tokenizers = [tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    return StableDiffusionXLPipeline(vae(), one, two, *tokenizers, _unet("sdxl", 1), scheduler, add_watermarker=False)


def _pixart(folder: Path, scheduler: Any) -> Any:
    words, text = t5()
    return PixArtSigmaPipeline(words, text, vae(), _transformer(1), scheduler)


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


_PIPELINES: dict[str, Callable[[Path, Any], Any]] = {
    "sd": _sd,
    "sdxl": _sdxl,
    "pixart": _pixart,
    "sd3": tiny_flow.sd3,
    "flux": tiny_flow.flux,
    "flux2": tiny_flux2.dev,
    "sana": lambda _, scheduler: tiny_sana.sana(scheduler),
    "wan": tiny_wan.wan,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "pixart": _call_pixart,
    "sd3": _call_sd3,
    "flux": _call_flux,
    "flux2": tiny_flux2.call,
    "sana": _call_sana,
    "wan": tiny_wan.call,
}
