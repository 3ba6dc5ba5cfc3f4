"""`rise bench memory`: how much memory a worker takes as head, as tail and for whole jobs, and what loading adds.

Every figure is the most that a process of its own was resident with. Beside it stands what the same process takes once
everything is imported and nothing loaded; the difference is weights, activations and what the allocator keeps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers import UNet2DConditionModel
from transformers import CLIPTextModelWithProjection

import rise_shapes
from benchmarks import _random, _resident, _rows
from benchmarks._resident import Grown
from benchmarks._rows import Row, row
from benchmarks._worker import ROLES, Role
from rise_contracts import manifest
from rise_contracts.resources import ModelFamily
from rise_stage.quiet import quiet

MIB = 2**20
MOST_TIMES = 1.15


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise bench memory", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-memory.json"), help="where the rows go")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    options = arguments(argv)
    quiet()
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = [*worker_rows(rise_shapes.family(), folder, "")]
        rows += worker_rows(_random.make(folder / "sdxl"), folder, "sdxl_")
        rows += loading_rows(folder)
    _rows.report(rows, options.json)
    return 0


def worker_rows(family: ModelFamily, folder: Path, prefix: str) -> Iterator[Row]:
    """A worker of a family in each of its roles."""
    path = folder / f"{family.metadata.name}.yaml"
    path.write_text(manifest.dump(family))
    peaks: dict[Role, int] = {role: _worker(role, path, folder) for role in ROLES}
    imports = peaks.pop("imports") / MIB
    yield row(f"memory_{prefix}imports_mib", imports, None, "MiB resident", 1, "stated")
    for role, nbytes in peaks.items():
        yield row(f"memory_{prefix}{role}_mib", nbytes / MIB, imports, "MiB resident", 1, "stated", difference=True)


def loading_rows(folder: Path) -> Iterator[Row]:
    """What loading a denoiser and a text encoder takes, beside what they weigh."""
    for precision in ("fp32", "fp16"):
        parts = folder / precision if precision == "fp16" else folder / "sdxl"
        if precision == "fp16":
            halve(folder / "sdxl", parts)
        for subfolder in ("unet", "text_encoder_2"):
            grown = _resident.loading(parts, subfolder, precision)
            yield loading_row(f"memory_loading_{subfolder}_{precision}_mib", grown)


def loading_row(name: str, grown: Grown) -> Row:
    """Ours is what the process grew by, theirs what the weights weigh."""
    goal, met = f"<= {MOST_TIMES} times the weights", grown.times <= MOST_TIMES
    return row(name, grown.most / MIB, grown.weights / MIB, "MiB resident", 1, goal, met=met)


def halve(base: Path, folder: Path) -> None:
    """The denoiser and the second text encoder of a family in half precision."""
    for kind, name in ((UNet2DConditionModel, "unet"), (CLIPTextModelWithProjection, "text_encoder_2")):
        kind.from_pretrained(base, subfolder=name).half().save_pretrained(folder / name)


def _worker(role: Role, path: Path, folder: Path) -> int:
    command = (sys.executable, "-m", "benchmarks._worker", role, str(path), str(folder))
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
