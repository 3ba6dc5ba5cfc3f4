"""One of several data-parallel processes. Apart from `__main__`, which a spawned process can't import."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist

from rise_shapes.training import recipe


def process(rank: int, world: int, meeting: Path, options: argparse.Namespace) -> None:
    """Join the others at the file ``meeting`` and run the recipe with them."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    recipe.run(options.out, options.only, options.seed, options.device, options.scale, options.start)
    dist.destroy_process_group()
