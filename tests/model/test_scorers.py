"""Scores against transformers' own CLIP, and what is refused: weights, folders, pictures, pickles."""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import Source
from rise_contracts.scorers import SCALES, SCORERS, Chosen, Scale
from rise_stage.scoring import convert
from rise_stage.scoring.clip import ClipScorer, load
from rise_stage.scoring.pictures import opened
from tests.model.tiny_clip import OpenClip, tiny_clip

PROMPT = "two red kites over a grey sea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """One that a test may break."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def picture(seed: int = 1, size: tuple[int, int] = (80, 60)) -> Image.Image:
    noise = torch.randint(0, 256, (size[1] // 10, size[0] // 10, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(noise.to(torch.uint8).numpy()).resize(size)


def png_of(*frames: Image.Image) -> bytes:
    stream = io.BytesIO()
    frames[0].save(stream, "PNG", save_all=len(frames) > 1, append_images=list(frames[1:]))
    return stream.getvalue()


def embedded(folder: Path, prompt: str, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """The prompt's and the picture's embeddings as transformers computes them, and what it makes of both."""
    model = CLIPModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessor.from_pretrained(folder)(images=image, return_tensors="pt")
    text = CLIPTokenizer.from_pretrained(folder)(prompt, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        words = model.text_projection(model.text_model(**text).pooler_output)
        seen = model.visual_projection(model.vision_model(**pixels).pooler_output)
        return words, seen, model(**text, **pixels)


@pytest.mark.parametrize("seed", range(4))
def test_each_score_is_what_transformers_computes(folder: Path, seed: int) -> None:
    image = picture(seed)
    words, seen, whole = embedded(folder, PROMPT, image)
    cosine = torch.nn.functional.cosine_similarity(words, seen).item()
    want = {"clipscore": max(100 * cosine, 0), "hpsv2": cosine, "pickscore": whole.logits_per_image.item()}
    got = {name: ClipScorer(name, folder).raw(PROMPT, image) for name in SCORERS}
    assert got == pytest.approx(want, rel=1e-4, abs=1e-5)


def test_pictures_differ_and_a_long_prompt_is_cut_where_the_model_ends(folder: Path) -> None:
    scorer = ClipScorer("hpsv2", folder)
    assert len({round(scorer.raw(PROMPT, picture(seed)), 4) for seed in range(4)}) == 4
    long = "kites and " * 100
    _, _, whole = embedded(folder, long, picture())
    want = torch.nn.functional.cosine_similarity(whole.text_embeds, whole.image_embeds).item()
    assert scorer.raw(long, picture()) == pytest.approx(want, rel=1e-4)


def test_a_label_lies_on_the_line_between_the_marks_and_is_cut_off_at_both_ends(folder: Path) -> None:
    raw = ClipScorer("hpsv2", folder).raw(PROMPT, picture())
    labels = [ClipScorer("hpsv2", folder, Scale(raw + a, raw + b)).score(PROMPT, picture()) for a, b in MARKS]
    assert labels == pytest.approx([0.25, 0.0, 1.0])


MARKS = ((-1.0, 3.0), (0.1, 0.2), (-0.2, -0.1))


@pytest.mark.parametrize("marks", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_marks_that_are_no_scale_are_refused(marks: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="the lower one first"):
        Scale(*marks)


def test_every_scorer_has_a_scale_and_no_label_is_made_of_what_is_no_number() -> None:
    assert set(SCALES) == set(SCORERS)
    with pytest.raises(InvalidInput, match="wanted a finite number, got nan"):
        SCALES["pickscore"].label(float("nan"))


def test_the_log_has_the_raw_score_and_no_word_of_the_prompt(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ClipScorer("pickscore", folder).score(PROMPT, picture())
    assert "pickscore" in caplog.text
    assert "kites" not in caplog.text


def without(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def one_layer_more(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))


def another_kind(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "siglip"}))


def more_pixels(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}})
    )


def not_finite(folder: Path) -> None:
    model = CLIPModel.from_pretrained(folder)
    torch.nn.init.constant_(model.visual_projection.weight, float("nan"))
    model.save_pretrained(folder)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (without("model.safetensors"), "wanted model.safetensors in"),
    "weights cut short": (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "that loads from"),
    "weights left out": (one_layer_more, "wanted all weights in .*missing_keys"),
    "no tokenizer": (without("tokenizer.json"), "vocab.json and merges.txt.*CLIP-ViT-H-14"),
    "no preprocessing": (without("preprocessor_config.json"), "wanted preprocessor_config.json"),
    "no configuration": (without("config.json"), "config.json"),
    "another model": (another_kind, "a CLIP model in .*siglip"),
    "another size": (more_pixels, "have to be of one model"),
    "not a number": (not_finite, "wanted a finite number"),
    "a pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "a pickle is not read; take safetensors",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_holds_no_whole_scorer_is_refused_on_one_line(case: str, copy: Path) -> None:
    damage, why = BROKEN[case]
    for name in ("vocab.json", "merges.txt"):
        (copy / name).unlink(missing_ok=True)
    damage(copy)
    with pytest.raises(InvalidInput, match=why) as caught:
        ClipScorer("clipscore", copy)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("missing", "a folder with a CLIP model in it"),
        ("HPS_v2_compressed.pt", "HPS_v2_compressed.pt"),
    ],
)
def test_what_is_no_folder_is_refused(tmp_path: Path, where: str, why: str) -> None:
    (tmp_path / "HPS_v2_compressed.pt").write_bytes(b"PK")
    with pytest.raises(InvalidInput, match=why):
        load(Chosen("hpsv2", Source(path=str(tmp_path / where))))


def test_the_weights_have_to_lie_on_the_model_volume_where_there_is_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Chosen("clipscore", Source(path=str(folder)))
    monkeypatch.setenv("RISE_MODELS", str(folder.parent))
    assert load(chosen).name == "clipscore"
    monkeypatch.setenv("RISE_MODELS", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"a folder inside .* put the weights on the model volume"):
        load(chosen)


@pytest.mark.parametrize("png", [b"", b"GIF89a", png_of(picture())[:200], b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(png: bytes) -> None:
    with pytest.raises(InvalidInput, match="picture: wanted"):
        opened(png)


def test_a_picture_is_rgb_and_of_a_video_it_is_the_middle_frame() -> None:
    frames = [Image.new("RGBA", (16, 8), (50 * index, 0, 0, 255)) for index in range(5)]
    assert opened(png_of(*frames)).getpixel((0, 0)) == (100, 0, 0)
    assert opened(png_of(Image.new("L", (16, 8), 7))).getpixel((0, 0)) == (7, 7, 7)


@pytest.fixture
def theirs(folder: Path) -> OpenClip:
    torch.manual_seed(9)
    return OpenClip(len(CLIPTokenizer.from_pretrained(folder))).eval()


def test_a_converted_checkpoint_scores_as_the_model_it_was_saved_from(
    folder: Path, theirs: OpenClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(theirs.state_dict(), tmp_path / "HPS_v2.safetensors")
    out = tmp_path / "hps"
    assert convert.main([str(tmp_path / "HPS_v2.safetensors"), "--like", str(folder), "--out", str(out)]) == 0
    assert f"rise up --judge hpsv2:{out}" in capsys.readouterr().out
    ids = CLIPTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt")["input_ids"]
    pixels = CLIPImageProcessor.from_pretrained(folder)(images=picture(), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        want = theirs.cosine(ids, pixels)
    assert ClipScorer("hpsv2", out).raw(PROMPT, picture()) == pytest.approx(want, abs=1e-5)


def pickled(path: Path) -> None:
    torch.save({"state_dict": {"logit_scale": torch.zeros(1)}}, path)


def foreign(path: Path) -> None:
    save_file({"head.weight": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (pickled, "wanted safetensors at"),
        (foreign, "as open_clip names those of a CLIP, got 'head.weight'"),
        (lambda path: path.write_bytes(b""), "wanted safetensors at"),
        (lambda path: None, "wanted safetensors at"),
    ],
    ids=["a pickle", "other names", "empty", "missing"],
)
def test_weights_that_are_anything_else_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object], why: str
) -> None:
    damage(tmp_path / "x")
    assert convert.main([str(tmp_path / "x"), "--like", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
