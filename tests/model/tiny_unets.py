"""The U-Nets that were distilled from Stable Diffusion and SDXL: the true layouts of their blocks, tiny."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel

from rise_contracts.resources import Member, ModelFamily, Source
from tests.model.tiny import SCHEDULE, tiny_family
from tests.model.tiny_text import WIDTH


class Layout(NamedTuple):
    """A U-Net's blocks, and its parameters as published."""

    architecture: str
    millions: float
    blocks: dict[str, Any]


SD_BLOCKS: dict[str, Any] = {
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
XL_BLOCKS: dict[str, Any] = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
# One more layer on the way up than on the way down; those of the way up begin at the lowest block.
SSD_LAYERS = {"transformer_layers_per_block": [1, [2, 2], [4, 4]], "mid_block_type": "UNetMidBlock2D"}
VEGA_LAYERS = {"transformer_layers_per_block": [1, [1, 1], [2, 2]], "mid_block_type": "UNetMidBlock2D"}
LAYOUTS = {
    "sd": Layout("sd", 860, {**SD_BLOCKS, "layers_per_block": 2}),
    "bk-sdm-base": Layout("sd", 580, {**SD_BLOCKS, "layers_per_block": 1}),
    "bk-sdm-small": Layout("sd", 482, {**SD_BLOCKS, "layers_per_block": 1, "mid_block_type": None}),
    "bk-sdm-tiny": Layout(
        "sd",
        323,
        {
            "down_block_types": ["CrossAttnDownBlock2D"] * 3,
            "up_block_types": ["CrossAttnUpBlock2D"] * 3,
            "layers_per_block": 1,
            "mid_block_type": None,
        },
    ),
    "sdxl": Layout("sdxl", 2567, {**XL_BLOCKS, "layers_per_block": 2, "transformer_layers_per_block": [1, 2, 10]}),
    "ssd-1b": Layout(
        "sdxl",
        1331,
        {**XL_BLOCKS, **SSD_LAYERS, "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1]},
    ),
    "vega": Layout(
        "sdxl",
        745,
        {**XL_BLOCKS, **VEGA_LAYERS, "reverse_transformer_layers_per_block": [[2, 2, 2], [1, 1, 1], 1]},
    ),
    "koala-1b": Layout("sdxl", 1161, {**XL_BLOCKS, "layers_per_block": 1, "transformer_layers_per_block": [0, 2, 6]}),
    "koala-700m": Layout(
        "sdxl",
        783,
        {
            **XL_BLOCKS,
            "layers_per_block": 1,
            "transformer_layers_per_block": [0, 2, 5],
            "mid_block_type": None,
        },
    ),
}


def unet(name: str, seed: int) -> Any:
    """Of the layout, tiny."""
    architecture, _, blocks = LAYOUTS[name]
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=16,
        norm_num_groups=8,
        block_out_channels=[16, 32, 32, 32][: len(blocks["down_block_types"])],
        cross_attention_dim=WIDTH if architecture == "sd" else 2 * WIDTH,
        **_pooled(architecture, 8, WIDTH),
        attention_head_dim=4 if architecture == "sd" else [1, 2, 4],
        **blocks,
    )


def parameters(name: str) -> int:
    """How many weights the layout has at its own size. None are made."""
    architecture, _, blocks = LAYOUTS[name]
    with torch.device("meta"):
        network = UNet2DConditionModel(
            block_out_channels=[320, 640, 1280, 1280][: len(blocks["down_block_types"])],
            cross_attention_dim=768 if architecture == "sd" else 2048,
            attention_head_dim=8 if architecture == "sd" else [5, 10, 20],
            **_pooled(architecture, 256, 1280),
            **blocks,
        )
    return sum(weight.numel() for weight in network.parameters())


def _pooled(architecture: str, width: int, pooled: int) -> dict[str, Any]:
    """What SDXL's are told besides the text: six sizes and the pooled text."""
    if architecture == "sd":
        return {}
    return {
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": width,
        "projection_class_embeddings_input_dim": 6 * width + pooled,
    }


def family_of_siblings(folder: Path, large: str) -> ModelFamily:
    """A family whose base has the layout `large`; every sibling is a folder of its own, as it is published."""
    architecture = LAYOUTS[large].architecture
    made = tiny_family(folder / large, architecture, prediction_type="epsilon", timestep_spacing="leading")
    unet(large, 1).save_pretrained(folder / large / "unet")
    names = [name for name, layout in LAYOUTS.items() if layout.architecture == architecture and name != large]
    for seed, name in enumerate(names, start=20):
        _sibling(folder / name, folder / large / "vae", name, seed)
    members = (
        Member(name=large),
        *(Member(name=name, source=Source(path=str(folder / name)), tier="device") for name in names),
    )
    return made.model_copy(update={"spec": made.spec.model_copy(update={"members": members})})


def _sibling(folder: Path, vae: Path, name: str, seed: int) -> None:
    """Denoiser, scheduler and autoencoder. The text encoders are the base's, and are not copied."""
    unet(name, seed).save_pretrained(folder / "unet")
    shutil.copytree(vae, folder / "vae")
    # Spaced otherwise than its family: the grid of a run by this member alone is its own.
    options = {**SCHEDULE, "prediction_type": "epsilon", "timestep_spacing": "trailing"}
    EulerDiscreteScheduler.from_config(options).save_pretrained(folder / "scheduler")


def edit(path: Path, **changes: Any) -> None:
    """Change a JSON file; None leaves a key out."""
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
