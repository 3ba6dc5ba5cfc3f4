"""`python -m rise_stage.scoring.convert`: HPSv2's weights as a folder that a scorer reads.

Its authors publish a pickle, with the names that open_clip gives the weights. Nothing of Rise reads a pickle: its user
saves the tensors as safetensors (docs/reference/scorers.md says how), and this gives them transformers' names.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rise_contracts.errors import InvalidInput, RiseError
from rise_contracts.scorers import source_of
from rise_stage.quiet import quiet
from rise_stage.scoring.clip import CLIP_H, ClipScorer, found

TOPS: Final = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "logit_scale": "logit_scale",
}
TURNED: Final = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
"""They multiply from the other side."""
BLOCKS: Final = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
LEFT_OUT: Final = frozenset({"attn_mask"})
_BLOCK: Final = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of transformers' CLIPModel. Raises InvalidInput for one that is not known."""
    return {new: tensor.contiguous() for name, old in weights.items() for new, tensor in _renamed(name, old)}


def _renamed(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name in LEFT_OUT:
        return
    if name in TOPS:
        yield TOPS[name], tensor
    elif name in TURNED:
        yield TURNED[name], tensor.T
    elif block := _BLOCK.fullmatch(name):
        yield from _of_block(block, tensor)
    else:
        raise _bad("weights as open_clip names those of a CLIP", name)


def _of_block(block: re.Match[str], tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    tower, number, part, kind = block.groups()
    into = f"{'vision' if tower else 'text'}_model.encoder.layers.{number}"
    if part == "attn.in_proj":  # query, key and value in one piece
        for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
            yield f"{into}.self_attn.{letter}_proj.{kind}", piece
    elif part in BLOCKS:
        yield f"{into}.{BLOCKS[part]}.{kind}", tensor
    else:
        raise _bad("weights as open_clip names those of a CLIP", block.string)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name. Raises InvalidInput for anything else."""
    try:
        return {name.removeprefix("module."): tensor for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise _bad(f"safetensors at {path}", error) from error


def convert(source: Path, like: Path, out: Path) -> None:
    """Write a folder with the file's weights and everything else as in `like`, and try it."""
    weights = renamed(read_weights(source))
    if out.exists():
        raise InvalidInput("--out", "a folder that is not there yet", str(out))
    out.mkdir(parents=True)
    for path in [*like.glob("*.json"), *like.glob("*.txt")]:
        if not path.name.endswith(".index.json"):
            shutil.copyfile(path, out / path.name)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    ClipScorer("hpsv2", out)


def _bad(wanted: str, got: object) -> InvalidInput:
    return InvalidInput("weights", wanted, got, "docs/reference/scorers.md says how HPSv2's are saved as safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rise_stage.scoring.convert", description="HPSv2 as a scorer reads it."
    )
    parser.add_argument("weights", type=Path, help="safetensors with the names of open_clip")
    parser.add_argument("--like", default=CLIP_H, help="whose configuration it has (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    given = parser.parse_args(arguments)
    quiet()
    try:
        convert(given.weights, found(source_of(given.like)), given.out)
    except RiseError as error:
        sys.stderr.write(f"rise convert: {error}\n")
        return error.exit_code
    print(f"use it with: rise up --judge hpsv2:{given.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
