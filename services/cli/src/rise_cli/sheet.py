"""The contact sheet: the same prompt and seed by several arms, side by side, so that one look says what a relay buys.

Pure: cells in, a picture out. Under each picture stand its seconds as a bar on one common scale (edge, device, the
rest), and what the judge says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

SIDE = 256
"""Side of a picture on the sheet, pixels."""
GAP = 28
MARGIN = 40
MOST_COLUMNS = 4
LEAST_WIDTH = 440

INK, MUTED, PAPER, LINE = "#1b1f24", "#5d6670", "#ffffff", "#d8dde3"
EDGE, DEVICE, REST = "#2f6db3", "#e39b2d", "#b9c0c8"
GOOD, BAD = "#1f8a4c", "#c23b32"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """One arm's picture. `ok` None: nobody can judge it. Seconds are measured, end to end and per tier."""

    title: str
    subtitle: str
    image: Image.Image
    seconds: float
    edge_seconds: float
    device_seconds: float
    ok: bool | None = None
    reasons: tuple[str, ...] = ()
    speedup: float | None = None


def draw(prompt: str, note: str, cells: Sequence[Cell]) -> Image.Image:
    """The sheet, at most four pictures wide."""
    rows = math.ceil(len(cells) / MOST_COLUMNS)
    columns = math.ceil(len(cells) / rows)
    width = max(LEAST_WIDTH, 2 * MARGIN + columns * SIDE + (columns - 1) * GAP)
    head = _wrap(prompt, _font(26), width - 2 * MARGIN)
    top = MARGIN + 36 * len(head) + 70
    reasons = max((len(_reason_lines(cell)) for cell in cells), default=0)
    row_height = 64 + SIDE + 112 + 20 * reasons + GAP
    sheet = Image.new("RGB", (width, top + rows * row_height + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_head(pen, head, note, width)
    longest = max(cell.seconds for cell in cells)
    for index, cell in enumerate(cells):
        x = MARGIN + (index % columns) * (SIDE + GAP)
        _draw_cell(sheet, pen, cell, (x, top + (index // columns) * row_height), longest)
    return sheet


def enlarge(image: Image.Image, side: int = SIDE) -> Image.Image:
    """Fit a picture into a square: small ones by whole pixels, so that nothing is smoothed over; large ones shrunk."""
    rgb = image.convert("RGB")
    longest = max(rgb.size)
    factor = side // longest if longest <= side else side / longest
    size = (max(1, round(rgb.width * factor)), max(1, round(rgb.height * factor)))
    return rgb.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS)


def _draw_head(pen: ImageDraw.ImageDraw, lines: Sequence[str], note: str, width: int) -> None:
    y = MARGIN - 8
    for line in lines:
        pen.text((MARGIN, y), line, fill=INK, font=_font(26))
        y += 36
    pen.text((MARGIN, y + 2), _cut(note, _font(16), width - 2 * MARGIN), fill=MUTED, font=_font(16))
    x = MARGIN
    for colour, label in ((EDGE, "edge"), (DEVICE, "device"), (REST, "between and around")):
        pen.rectangle((x, y + 34, x + 14, y + 46), fill=colour)
        pen.text((x + 21, y + 30), label, fill=MUTED, font=_font(15))
        x += 21 + int(pen.textlength(label, font=_font(15))) + 24


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], longest: float) -> None:
    x, y = at
    pen.text((x, y), _cut(cell.title, _font(19), SIDE), fill=INK, font=_font(19))
    pen.text((x, y + 28), _cut(cell.subtitle, _font(15), SIDE), fill=MUTED, font=_font(15))
    picture = enlarge(cell.image)
    y += 58
    sheet.paste(picture, (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2))
    pen.rectangle((x - 1, y - 1, x + SIDE, y + SIDE), outline=LINE)
    y += SIDE + 14
    pen.text((x, y), _seconds(cell.seconds), fill=INK, font=_font(22))
    if cell.speedup is not None:
        text = f"{cell.speedup:.1f} times as fast" if cell.speedup >= 1.05 else ""
        pen.text((x + SIDE, y + 4), text, fill=GOOD, font=_font(16), anchor="ra")
    _draw_bar(pen, cell, (x, y + 34), longest)
    pen.text((x, y + 50), f"edge {_seconds(cell.edge_seconds)}", fill=MUTED, font=_font(15))
    _draw_verdict(pen, cell, (x, y + 74))


def _draw_bar(pen: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], longest: float) -> None:
    x, y = at
    rest = max(0.0, cell.seconds - cell.edge_seconds - cell.device_seconds)
    scale = SIDE / longest if longest > 0 else 0.0
    left = float(x)
    for seconds, colour in ((cell.edge_seconds, EDGE), (cell.device_seconds, DEVICE), (rest, REST)):
        right = left + seconds * scale
        if right - left >= 1:
            pen.rectangle((left, y, right - 1, y + 9), fill=colour)
        left = right


def _draw_verdict(pen: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int]) -> None:
    x, y = at
    if cell.ok is None:
        pen.text((x, y), "not judged", fill=MUTED, font=_font(16))
        return
    colour = GOOD if cell.ok else BAD
    if cell.ok:
        pen.line((x + 1, y + 11, x + 6, y + 16, x + 15, y + 4), fill=colour, width=3, joint="curve")
    else:
        pen.line((x + 2, y + 5, x + 13, y + 16), fill=colour, width=3)
        pen.line((x + 13, y + 5, x + 2, y + 16), fill=colour, width=3)
    pen.text((x + 24, y), "as the prompt says" if cell.ok else "wrong", fill=colour, font=_font(16))
    for index, line in enumerate(_reason_lines(cell)):
        pen.text((x, y + 24 + 20 * index), line, fill=MUTED, font=_font(14))


def _reason_lines(cell: Cell) -> list[str]:
    if cell.ok is not False:
        return []
    return [line for reason in cell.reasons[:3] for line in _wrap(reason, _font(14), SIDE)][:4]


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _font(size: int) -> Font:
    # Pillow's own scalable font: it is there wherever Pillow is, and has all we write.
    return ImageFont.load_default(size)


def _wrap(text: str, font: Font, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(word, font, width))
    return lines or [""]


def _cut(text: str, font: Font, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
