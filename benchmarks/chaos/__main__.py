"""``python -m benchmarks.chaos``: every fault at every moment, then a seeded random run; what is lost is counted.

A cell that goes wrong is one run again alone: ``--only "edge worker killed, in the head"``. A random run is made again
by the seed that it printed: ``--only none --seed N``.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, get_args

from rich.console import Console

from benchmarks import _rows
from benchmarks.chaos.modules import Stage
from benchmarks.chaos.report import report
from benchmarks.chaos.words import Door, Note, Result

DOORS: Final = {"cli": Door.COMMAND_LINE, "relayjob": Door.RELAY_JOB}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--door", choices=[*DOORS, "all"], default="cli", help="how jobs come in (default cli)")
    parser.add_argument("--only", default="", help="cells that have this in their words; 'none' is no cell")
    parser.add_argument("--jobs", type=int, default=2000, help="of the random run at the command line (default 2000)")
    parser.add_argument("--seed", type=int, help="of the random run; one is drawn and printed where it is left out")
    parser.add_argument("--stage", choices=get_args(Stage), help="only workers with a model, or only light ones")
    parser.add_argument(
        "--soak", type=float, default=0.0, help="minutes of the storm with a fault every 30 s, measured"
    )
    parser.add_argument("--soaked", type=Path, default=Path("out/chaos-soak.json"), help="where the soak's samples go")
    parser.add_argument("--json", type=Path, help="where rows and cells go")
    parser.add_argument("--keep", action="store_true", help="add to what the file has of this door")
    parser.add_argument("--docs", type=Path, help="the page whose generated part is written anew")
    parser.add_argument("--logs", type=Path, help="a folder to keep the logs of all processes in")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run, report; 1 where anything was not as it must be."""
    options = arguments(argv)
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {seed}")
    doors = list(DOORS) if options.door == "all" else [options.door]
    results: list[Result] = []
    try:
        for door in doors:
            _through(door, options, seed, console, results.extend)
    finally:  # what broke off is an hour's work, too
        soaked = options.soaked if options.soak else None
        found = report(results, seed, file=options.json, docs=options.docs, keep=options.keep, soaked=soaked)
        print(_rows.table(found))
    wrong = [result for result in results if not result.right and not result.lacks]
    return 1 if wrong else 0


def _through(door: str, options: argparse.Namespace, seed: int, console: Console, note: Note) -> None:
    def tell(line: str) -> None:
        console.print(line, markup=False)

    if DOORS[door] is Door.RELAY_JOB:
        import_module("benchmarks.chaos.cluster").run(options.only, seed, tell, note)
        return
    from benchmarks.chaos import door as command_line

    names = ("only", "jobs", "stage", "soak", "soaked", "logs")
    wish = command_line.Wish(seed=seed, **{name: getattr(options, name) for name in names})
    asyncio.run(command_line.run(wish, tell, note))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
