"""A tiny CLIP of random weights as a folder, and the same weights as open_clip lays them out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from tests.model.tiny_text import tokenizer

SIDE, PATCH, WIDTH, HEADS, LAYERS, SHARED = 32, 8, 32, 4, 2, 16


def tiny_clip(folder: Path, seed: int = 5) -> Path:
    """Made into `folder`, which is not there yet, as transformers saves a CLIP with its processor."""
    torch.manual_seed(seed)
    words = tokenizer(folder)
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
        "projection_dim": SHARED,
    }
    text = {**tower, "vocab_size": len(words), "max_position_embeddings": 77}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision = {**tower, "image_size": SIDE, "patch_size": PATCH}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=SHARED))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name != "logit_scale":  # far from what they begin with, so that no picture is like another
                weight.copy_(torch.randn_like(weight) * 0.3)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_resize=True
    ).save_pretrained(folder)
    return folder


class Block(nn.Module):
    """A residual block as open_clip has it: torch's own attention, query, key and value in one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 2 * WIDTH))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        made: Tensor = x + self.mlp(self.ln_2(x))
        return made


def blocks() -> nn.Module:
    transformer = nn.Module()
    transformer.resblocks = nn.ModuleList(Block() for _ in range(LAYERS))
    return transformer


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH))
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = blocks()
        self.proj = nn.Parameter(torch.randn(WIDTH, SHARED))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x)
        made: Tensor = self.ln_post(x[:, 0]) @ self.proj
        return made


class OpenClip(nn.Module):
    """open_clip's CLIP, written anew from its definition: names, shapes and order of its checkpoints."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(77, WIDTH))
        self.transformer = blocks()
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, SHARED))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.visual = Visual()

    def cosine(self, ids: Tensor, pixels: Tensor) -> float:
        """Of one text, whose last token ends it, and one picture."""
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x, mask)
        text = self.ln_final(x)[:, -1] @ self.text_projection
        return float(nn.functional.cosine_similarity(text, self.visual(pixels)).item())
