"""CLIPScore, PickScore and HPSv2: three weights and three readings of one model, CLIP.

======== ======================= ==================================================================
clipscore ``max(100 cos, 0)``    Hessel et al. 2021 (arXiv 2104.08718), scaled as torchmetrics does
pickscore ``logit_scale · cos``  Kirstain et al. 2023 (arXiv 2305.01569)
hpsv2     ``cos``                Wu et al. 2023 (arXiv 2306.09341)
======== ======================= ==================================================================

cos is the cosine between the embeddings of picture and prompt. A prompt longer than the model reads is cut off.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import Source
from rise_contracts.scorers import FIELD, SCALES, Chosen, Scale
from rise_stage.engine.families.components import read_json, read_text_encoder, read_tokenizer
from rise_stage.engine.families.sources import locate

log = logging.getLogger(__name__)

PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
CLIP_H: Final = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
"""What PickScore and HPSv2 were tuned from: their tokenizer and their preprocessing are its own."""
TOKENIZER_FILES: Final = (("tokenizer.json",), ("vocab.json", "merges.txt"))
PICTURE_FILE: Final = "preprocessor_config.json"


class ClipScorer:
    """A `Scorer` by a CLIP model of any size, in fp32 on the CPU: accelerators are for those who draw."""

    def __init__(self, name: str, folder: Path, scale: Scale | None = None) -> None:
        """Read the folder's model and try it. Raises InvalidInput where it does not hold a whole one."""
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        _check_files(folder)
        self._name, self._scale = name, scale or SCALES[name]
        self._model = read_text_encoder(CLIPModel, folder, "", None, torch.float32)
        self._words = read_tokenizer(CLIPTokenizer, folder, "")
        self._pixels = CLIPImageProcessor.from_dict(read_json(folder / PICTURE_FILE))
        self._rehearse(folder)

    @property
    def name(self) -> str:
        return self._name

    def score(self, prompt: str, picture: Image.Image) -> float:
        raw = self.raw(prompt, picture)
        label = self._scale.label(raw)
        log.info("%s %.4g is %.3f", self._name, raw, label)  # what a better scale is chosen by
        return label

    @torch.inference_mode()
    def raw(self, prompt: str, picture: Image.Image) -> float:
        """The score as its authors state it."""
        out = self._model(**self._text(prompt), **self._pixels(images=picture, return_tensors="pt"))
        cosine = torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds).item()
        match self._name:
            case "clipscore":
                return max(100.0 * cosine, 0.0)
            case "pickscore":
                return float(self._model.logit_scale.exp()) * cosine
            case _:
                return float(cosine)

    def _text(self, prompt: str) -> Any:
        longest = self._model.config.text_config.max_position_embeddings
        return self._words(prompt, truncation=True, max_length=longest, return_tensors="pt")

    def _rehearse(self, folder: Path) -> None:
        """Parts that do not belong together are found now, and not by a job."""
        known, read = len(self._words), self._model.config.text_config.vocab_size
        if known > read:
            raise InvalidInput(FIELD, f"a tokenizer of at most {read} words in {folder}", known, _BELONG)
        try:
            self._scale.label(self.raw("a picture", Image.new("RGB", (64, 48))))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise InvalidInput(FIELD, f"a CLIP model that scores, in {folder}", why, _BELONG) from error


_BESIDE: Final = f"put them beside the weights; those of PickScore and HPSv2 are in {CLIP_H}"
_BELONG: Final = "weights, tokenizer and preprocessing have to be of one model"


def load(chosen: Chosen, scale: Scale | None = None) -> ClipScorer:
    """The scorer, its weights found and read. Raises InvalidInput."""
    return ClipScorer(chosen.name, found(chosen.source), scale)


def found(source: Source) -> Path:
    """The folder with the weights, by the rules for a family's. Raises InvalidInput, for a pickle with the way out."""
    if source.path is not None:
        path = Path(source.path).expanduser()
        if path.suffix in PICKLES:
            raise _pickle(path)
        if not path.is_dir():
            raise InvalidInput(FIELD, "a folder with a CLIP model in it", str(path), "check the path")
    return locate(source, FIELD)


def _check_files(folder: Path) -> None:
    """What transformers would fill with defaults where it is missing: a tokenizer of three words, say."""
    names = {entry.name for entry in folder.iterdir()}
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles and not any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        raise _pickle(folder / pickles[0])
    if PICTURE_FILE not in names or not any(names.issuperset(files) for files in TOKENIZER_FILES):
        wanted = f"{PICTURE_FILE}, and tokenizer.json or vocab.json and merges.txt, in {folder}"
        raise InvalidInput(FIELD, wanted, sorted(names), _BESIDE)
    kind = read_json(folder / "config.json").get("model_type")
    if kind != "clip":
        raise InvalidInput(FIELD, f"a CLIP model in {folder}", kind)


def _pickle(path: Path) -> InvalidInput:
    hint = "a pickle is not read; take safetensors, or save it as such: see docs/reference/scorers.md"
    return InvalidInput(FIELD, "weights as safetensors", str(path), hint)
