"""The scorer's process: beside the platform, behind everybody else who wants the processor."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rise_contracts import scorers
from rise_contracts.errors import RiseError
from rise_contracts.scorers import SCALES, Chosen, Scale
from rise_runtime import beside
from rise_runtime.bus import Bus
from rise_stage.scoring.scorer import Scorer
from rise_stage.scoring.service import Settings, run_scorer


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says."""

    chosen: Chosen
    scale: Scale
    settings: Settings
    threads: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit code."""
    try:
        given = read(sys.argv[1:] if arguments is None else arguments)
    except RiseError as error:
        sys.stderr.write(f"rise scorer: {error}\n")
        return error.exit_code
    step_back()
    # On the bus it is a judge: it may read what ended, and say what it is worth.
    return beside.main("judge", lambda bus: _serve(bus, given))


async def _serve(bus: Bus, given: Given) -> None:
    await run_scorer(bus, await asyncio.to_thread(_loaded, given), given.settings)


def _loaded(given: Given) -> Scorer:
    import torch

    from rise_stage.quiet import quiet

    quiet()
    torch.set_num_threads(given.threads)
    from rise_stage.scoring.clip import load

    return load(given.chosen, given.scale)


def step_back() -> None:
    """Take only the time that nobody else wants, this process and every thread that it starts from now on."""
    with suppress(OSError, AttributeError):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def read(arguments: Sequence[str]) -> Given:
    """Raises InvalidInput, UnknownName; ends the process where an option is no option."""
    parser = argparse.ArgumentParser(
        prog="python -m rise_stage.scoring", description="Score a sample of finished jobs."
    )
    parser.add_argument("scorer", help=f"NAME:FOLDER or NAME:OWNER/REPOSITORY; NAME is one of {', '.join(SCALES)}")
    parser.add_argument("--share", type=_share, default=scorers.SHARE, help="of the jobs, 0 to 1 (default %(default)s)")
    parser.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="raw scores worth 0 and 1")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default %(default)s)")
    given = parser.parse_args(arguments)
    chosen = scorers.parse(given.scorer)
    scale = Scale(*given.range) if given.range else SCALES[chosen.name]
    return Given(chosen, scale, Settings(given.share), max(1, given.threads))


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"wanted 0 to 1, got {text}")
    return share
