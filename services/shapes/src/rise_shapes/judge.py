"""The judge: whether a picture shows what its prompt says, decided by program.

It reads the picture anew, knowing nothing of how it was made: segment by hue, fit every shape and size to each segment,
read the fill, the relations and the ground, and compare with what the prompt says. What the prompt leaves open is free.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from rise_shapes.grammar import NotInGrammar, parse
from rise_shapes.render import GROUNDS, PALETTE, TINT, coverage, fill_mask, ground_mask
from rise_shapes.scene import CANVAS, FILLABLE, FILLS, PATTERNS, RADIUS, SHAPES, SIZES, TONES, Scene, Thing, holds

Plane = NDArray[np.float32]

CHROMA: Final = 34.0
"""Least difference between the strongest and the weakest channel of a coloured pixel, 0..255."""
LEAST_AREA: Final = 24
"""Segments smaller than this many pixels are specks, not objects."""
LEAST_FIT: Final = 0.62
"""Least overlap (intersection over union) of a segment with the shape it shows."""
REACH: Final = 16
"""Half the side of the window in which shapes are fitted, pixels."""
BLURS: Final = (0.0, 0.7, 1.1)
"""Standard deviations, in pixels, of the softness that the fit tries."""
MOST_SPECKS: Final = 30
"""Coloured pixels outside the objects that a clean picture may have."""
LEAST_CONTRAST: Final = 0.28
"""Share of a pattern's true contrast that must be there to count as drawn."""


@dataclass(frozen=True)
class Seen:
    """One object as the judge sees it: what it looks like, where, and how well the shape fits."""

    thing: Thing
    centre: tuple[float, float]
    fit: float


@dataclass(frozen=True)
class Verdict:
    """The judge's answer.

    Attributes:
        ok: the picture shows all that the prompt says, and no more objects than that.
        reasons: what is wrong, one sentence each; empty when ``ok``.
        cleanness: mean fit of the objects less the share of specks, 0..1.
        parts: for each part of the prompt (objects, colours, shapes, sizes, fills, relations, ground): right or not.
    """

    ok: bool
    reasons: list[str]
    cleanness: float
    parts: dict[str, bool] = field(default_factory=dict)


def verdict(png: bytes, prompt: str) -> Verdict | None:
    """Judge a PNG file by its prompt; None where no program can tell: the prompt is no sentence of the grammar, or the
    picture has another size than the family was made for, at which alone the judge knows how large things are."""
    try:
        scene = parse(prompt)
    except NotInGrammar:
        return None
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        return judge(np.asarray(opened.convert("RGB")), scene) if opened.size == (CANVAS, CANVAS) else None


def judge(image: NDArray[np.uint8], scene: Scene) -> Verdict:
    """Judge a picture, (64, 64, 3) RGB, against a scene.

    Raises:
        ValueError: the picture has another size or type.
    """
    if image.shape != (CANVAS, CANVAS, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"the judge wants {CANVAS}x{CANVAS}x3 uint8, got {'x'.join(map(str, image.shape))} {image.dtype}"
        )
    seen, specks = look(image)
    reasons: dict[str, list[str]] = {
        part: [] for part in ("objects", "colours", "shapes", "sizes", "fills", "relations", "ground", "clean")
    }
    matched = _match(scene, seen, reasons)
    for want, got in matched:
        _compare(want, got.thing, reasons)
        if got.fit < LEAST_FIT:
            reasons["clean"].append(f"the {want.colour} {want.shape} is blurred: it fits its outline to {got.fit:.2f}")
    if len(matched) == len(scene.things):
        for relation, (want, got) in zip(scene.relations, matched[1:], strict=True):
            if not holds(relation, matched[0][1].centre, got.centre):
                reasons["relations"].append(
                    f"the {scene.things[0].colour} object is not {relation} the {want.colour} one"
                )
    _compare_ground(image, scene, reasons)
    if specks > MOST_SPECKS:
        reasons["clean"].append(f"{specks} stray coloured pixels")
    fit = float(np.mean([item.fit for item in seen])) if seen else 0.0
    listed = [sentence for part in reasons.values() for sentence in part]
    cleanness = max(0.0, fit - specks / (CANVAS * CANVAS))
    return Verdict(not listed, listed, cleanness, {part: not found for part, found in reasons.items()})


def look(image: NDArray[np.uint8]) -> tuple[list[Seen], int]:
    """Every object in a picture, and the number of coloured pixels that belong to none."""
    pixels = image.astype(np.float32)
    labels = _colour_labels(pixels)
    seen, specks = [], 0
    for index, colour in enumerate(PALETTE):
        segments, count = ndimage.label(labels == index, np.ones((3, 3)))
        for number in range(1, count + 1):
            mask = segments == number
            area = int(mask.sum())
            if area < LEAST_AREA:
                specks += area
                continue
            seen.append(_see(pixels, mask, colour))
    return seen, specks


def _chroma(pixels: Plane) -> Plane:
    """How far each pixel is from grey, 0..255."""
    difference: Plane = pixels.max(-1) - pixels.min(-1)
    return difference


def _colour_labels(pixels: Plane) -> NDArray[np.int64]:
    """Index of each pixel's palette colour, -1 on the ground. A hue stands for the colour and its tint alike."""
    away = _hue_angle(pixels)[..., None] - _palette_hues()
    nearest = np.abs((away + 180.0) % 360.0 - 180.0).argmin(-1)
    labels: NDArray[np.int64] = np.where(_chroma(pixels) >= CHROMA, nearest, -1)
    return labels


def _hue_angle(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    angle: NDArray[np.float32] = np.degrees(np.arctan2(np.sqrt(3.0) * (g - b), 2 * r - g - b)).astype(np.float32)
    return angle


@cache
def _palette_hues() -> NDArray[np.float32]:
    return _hue_angle(np.asarray(list(PALETTE.values()), np.float32))


def _see(pixels: Plane, mask: NDArray[np.bool_], colour: str) -> Seen:
    fill = _fill(pixels, mask, colour)
    covered = _covered(pixels, mask, colour, fill)
    rows, columns = np.nonzero(covered > 0.5) if (covered > 0.5).any() else np.nonzero(mask)
    middle = ((columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2)
    window = _window(covered, middle)
    fraction = (middle[0] % 1.0, middle[1] % 1.0)
    fits = {(shape, size): _overlaps(window, _templates(shape, size, fraction)) for shape in SHAPES for size in SIZES}
    (shape, size), fit = max(fits.items(), key=lambda item: item[1])
    if shape not in FILLABLE or size != "large":
        fill = "plain"
    return Seen(Thing(colour, shape, size, fill), middle, float(fit))


def _covered(pixels: Plane, mask: NDArray[np.bool_], colour: str, fill: str) -> Plane:
    """How much of each pixel the object covers, 0..1: its chroma over the chroma that its paint has there."""
    paint = np.asarray(PALETTE[colour], np.float32)
    full = float(paint.max() - paint.min()) * (1.0 - TINT * fill_mask(fill))
    near = ndimage.binary_dilation(mask, np.ones((3, 3)))
    return np.where(near, np.clip(_chroma(pixels) / full, 0.0, 1.0), 0.0).astype(np.float32)


def _window(plane: Plane, middle: tuple[float, float]) -> Plane:
    """The square of ``2 * REACH`` pixels around a point; what lies beyond the picture is empty."""
    padded = np.pad(plane, REACH)
    left, top = int(middle[0]), int(middle[1])
    return padded[top : top + 2 * REACH, left : left + 2 * REACH]


@cache
def _templates(shape: str, size: str, fraction: tuple[float, float]) -> Plane:
    """The shape in a window, moved by up to a pixel, sharp and blurred: (75, 2 * REACH, 2 * REACH).

    A picture that is a little soft still shows its shape; how soft it is, the fit tells.
    """
    # A triangle's centre lies a little below its box's middle.
    down = 0.09 * RADIUS[size] if shape == "triangle" else 0.0
    shifts = (-1.0, -0.5, 0.0, 0.5, 1.0)
    middle, inner = CANVAS / 2, slice(CANVAS // 2 - REACH, CANVAS // 2 + REACH)
    sharp = [
        coverage(shape, size, (middle + fraction[0] + dx, middle + fraction[1] + dy + down))[inner, inner]
        for dx in shifts
        for dy in shifts
    ]
    return np.stack([ndimage.gaussian_filter(plane, blur) for blur in BLURS for plane in sharp])


def _overlaps(window: Plane, templates: Plane) -> float:
    """Best intersection over union of a soft mask with any of the templates."""
    both = np.minimum(window, templates).sum((1, 2))
    return float((both / (window.sum() + templates.sum((1, 2)) - both)).max())


def _fill(pixels: Plane, mask: NDArray[np.bool_], colour: str) -> str:
    """Which fill the inside of an object shows: the pattern whose contrast along colour-to-tint is strongest."""
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)))
    if inside.sum() < LEAST_AREA:
        return "plain"
    base = np.asarray(PALETTE[colour], np.float32)
    axis = TINT * (255.0 - base)
    tint = (pixels[inside] - base) @ axis / float(axis @ axis)
    contrast = {fill: _contrast(tint, fill_mask(fill)[inside]) for fill in FILLS if fill != "plain"}
    fill, best = max(contrast.items(), key=lambda item: item[1])
    return fill if best > LEAST_CONTRAST else "plain"


def _contrast(values: Plane, pattern: Plane) -> float:
    """Slope of ``values`` over a 0..1 pattern: 1 for the pattern at full strength, 0 for none."""
    centred = pattern - pattern.mean()
    power = float(centred @ centred)
    if power < 1e-3:
        return 0.0
    correlation = float(np.corrcoef(values, pattern)[0, 1]) if values.std() > 1e-3 else 0.0
    return float(values @ centred) / power * max(0.0, correlation)


def _ground(image: NDArray[np.uint8]) -> tuple[str, str]:
    """Tone and pattern of the ground, read where no object is near."""
    pixels = image.astype(np.float32)
    near = ndimage.binary_dilation(_colour_labels(pixels) >= 0, np.ones((3, 3)), iterations=2)
    values = pixels.mean(-1)[~near]
    if values.size < 200:
        return "none", "none"
    tone = min(TONES, key=lambda name: abs(float(np.median(values)) - float(np.mean(GROUNDS[name]))))
    first, second = (float(np.mean(colour)) for colour in GROUNDS[tone])
    share = (values - first) / (second - first)
    contrast = {pattern: _contrast(share, ground_mask(pattern)[~near]) for pattern in PATTERNS if pattern != "plain"}
    pattern, best = max(contrast.items(), key=lambda item: item[1])
    return tone, pattern if best > LEAST_CONTRAST else "plain"


def _match(scene: Scene, seen: list[Seen], reasons: dict[str, list[str]]) -> list[tuple[Thing, Seen]]:
    """Pair what is wanted with what is seen, by colour (a scene never has two objects of one colour)."""
    if len(seen) != len(scene.things):
        reasons["objects"].append(f"wanted {len(scene.things)} objects, got {len(seen)}")
    by_colour = {item.thing.colour: item for item in sorted(seen, key=lambda item: item.fit)}
    matched = []
    for want in scene.things:
        got = by_colour.get(want.colour)
        if got is None:
            reasons["colours"].append(f"nothing is {want.colour}")
        else:
            matched.append((want, got))
    return matched


def _compare(want: Thing, got: Thing, reasons: dict[str, list[str]]) -> None:
    if got.shape != want.shape:
        reasons["shapes"].append(f"the {want.colour} {want.shape} is a {got.shape}")
    if want.size is not None and got.size != want.size:
        reasons["sizes"].append(f"the {want.colour} {want.shape} is {got.size}, not {want.size}")
    if got.shape == want.shape and got.fill != want.fill:
        reasons["fills"].append(f"the {want.colour} {want.shape} is {got.fill}, not {want.fill}")


def _compare_ground(image: NDArray[np.uint8], scene: Scene, reasons: dict[str, list[str]]) -> None:
    if scene.ground is None:
        return
    tone, pattern = _ground(image)
    if (tone, pattern) != (scene.ground.tone, scene.ground.pattern):
        wanted = f"{scene.ground.tone} {scene.ground.pattern}"
        reasons["ground"].append(f"the ground is {tone} {pattern}, not {wanted}")
