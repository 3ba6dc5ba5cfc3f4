"""`make train`: the family from nothing, or on from where it stopped.

python -m rise_shapes.training [--out FOLDER] [--processes N] [--device cpu|cuda] [--seed 0] [--only large]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.multiprocessing.spawn import start_processes

from rise_shapes.training import recipe
from rise_shapes.training.process import process


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise_shapes.training", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/training"), help="checkpoints, logs, the finished family")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=0, help="data-parallel processes (default: one per core)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=recipe.ORDER, nargs="*", default=list(recipe.ORDER), help="these parts only")
    parser.add_argument(
        "--start", type=Path, help="go on from a finished family's weights, for example the shipped ones"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every step count (a quick check: 0.01)")
    return parser.parse_args()


def main() -> None:
    """Start one process per core (CPU) or one (GPU) and run the recipe in each."""
    options = arguments()
    world = options.processes or (1 if options.device != "cpu" else os.cpu_count() or 1)
    if world == 1:
        recipe.run(options.out, options.only, options.seed, options.device, options.scale, options.start)
        return
    # Large tensors come from the heap and stay there: glibc would map and clear fresh pages for every one of them.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "-1")
    with TemporaryDirectory(prefix="rise-training-") as folder:
        start_processes(process, (world, Path(folder) / "meeting", options), nprocs=world, start_method="spawn")


if __name__ == "__main__":
    main()
