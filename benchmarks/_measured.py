"""The table of measured pictures: one row for each arm, prompt and seed, with what the judge said of the picture."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

ARMS_FILE: Final = Path(__file__).parent / "data" / "shapes-arms.csv.gz"


@dataclass(frozen=True, order=True)
class Measured:
    """One picture.

    Attributes:
        quality: 1 where all is as the prompt says, else 0: what the platform reports of a job with one picture.
        parts: share of the parts of the prompt (objects, colours, shapes …) that are right, 0..1.
        cleanness: the judge's, 0..1.
    """

    arm: str
    prompt_index: int
    prompt: str
    seed: int
    quality: float
    parts: float
    cleanness: float


COLUMNS: Final = tuple(field.name for field in fields(Measured))


def write_csv(rows: Iterable[Measured]) -> str:
    """The rows as CSV, sorted, with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows):
        writer.writerow({name: f"{v:g}" if isinstance(v, float) else v for name, v in asdict(row).items()})
    return stream.getvalue()


def read_csv(text: str) -> list[Measured]:
    """Raises ValueError for another header, or a number that is none."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"wanted the columns {', '.join(COLUMNS)}, got {', '.join(reader.fieldnames or ())}")
    return [
        Measured(
            row["arm"],
            int(row["prompt_index"]),
            row["prompt"],
            int(row["seed"]),
            float(row["quality"]),
            float(row["parts"]),
            float(row["cleanness"]),
        )
        for row in reader
    ]


def save(rows: Iterable[Measured], file: Path = ARMS_FILE) -> None:
    """Write the table; the same rows give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(write_csv(rows).encode(), 9, mtime=0)
    file.write_bytes(packed)


def load(file: Path = ARMS_FILE) -> list[Measured]:
    """The table. Raises FileNotFoundError, ValueError."""
    return read_csv(gzip.decompress(file.read_bytes()).decode())
