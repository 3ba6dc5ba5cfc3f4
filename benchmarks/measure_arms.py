"""`python -m benchmarks.measure_arms`: the judged quality of many arms on many prompts, picture by picture.

The table is the ground of the scheduler's second environment (`benchmarks/data`): nothing in it comes from a formula
that a policy might share. Pictures are made in batches by the engine itself, in one process, with latents as the wire
would give them; quality does not depend on where a stage runs. What is done is kept in a folder, so that a run that was
broken off goes on; seeds take turns as the outer loop, so that a run may also be ended early, at the next full seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter

import torch

import rise_shapes
from benchmarks import _measured
from benchmarks._front import Prompt, Studio
from benchmarks._measured import Measured
from benchmarks._prompts import Asked, prompts
from rise_contracts.configuration import parse_arm
from rise_contracts.resources import ModelFamily
from rise_scheduler.arms import canonical_arms
from rise_shapes.judge import judge
from rise_stage.engine import Engine

EDGE_STEPS = (2, 3, 4, 6, 8, 12, 24)
DEVICE_STEPS = (4, 8, 12, 24)
HEADS = {0.6: (4, 8), 0.9: (3, 8), 1.3: (2, 5), 1.8: (3, 6), 2.5: (2, 4, 8)}
"""Steps of the large member down to each handoff. The tails of one head share its work."""
TAILS = ("finisher:6", "finisher:2")
PLAIN_TAIL = "small:8"
"""After the longer heads: the paper's relay, to a member that was not trained to finish."""
TURNED = ("small:4@1.8+large:4", "small:8@2.5+large:8")
"""The small member first."""
BATCH = 48
FIRST_SEED, NEXT_ROUND = 1_000, 1_000_000


def main(argv: Sequence[str]) -> int:
    """Measure, write the table, print the means."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure_arms", description=__doc__)
    parser.add_argument("--csv", type=Path, default=_measured.ARMS_FILE, help="the table")
    parser.add_argument("--kept", type=Path, default=Path("out/measure-arms"), help="what a broken run goes on from")
    parser.add_argument("--prompts", type=int, default=240, help="how many (default 240)")
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each prompt by each arm (default 2)")
    parser.add_argument("--only", help="arms with this member alone, as its weights have changed; other rows stay")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    family, asked = rise_shapes.family(), prompts(options.prompts)
    tried = arms_with(options.only, arms(family))
    folder = options.kept / fingerprint(family, tried, asked)
    rows = [row for row in _measured.load(options.csv) if row.arm not in tried] if options.only else []
    for number in range(options.seeds):
        rows += measure_round(family, tried, asked, number, folder)
        _measured.save(rows, options.csv)
    print(means_table(rows))
    return 0


def arms(family: ModelFamily) -> tuple[str, ...]:
    """Every arm that the scheduler has of the family, and many more, each once."""
    named = [arm.name for arm in canonical_arms(family)]
    alone = [f"large:{n}" for n in EDGE_STEPS] + [f"small:{n}" for n in DEVICE_STEPS]
    relays = [
        f"large:{head}@{sigma}+{tail}"
        for sigma, heads in HEADS.items()
        for head in heads
        for tail in (*TAILS, *((PLAIN_TAIL,) if head == max(heads) else ()))
    ]
    return tuple(dict.fromkeys([*named, *alone, *relays, *TURNED]))


def arms_with(member: str | None, tried: Sequence[str]) -> tuple[str, ...]:
    """Those in which a member has a stage; all where none is named."""
    return tuple(arm for arm in tried if member is None or any(stage.member == member for stage in parse_arm(arm)))


def seed_of(index: int, number: int) -> int:
    """The seed of a prompt in a round."""
    return FIRST_SEED + index + number * NEXT_ROUND


def measure_round(
    family: ModelFamily, tried: Sequence[str], asked: Sequence[Asked], number: int, folder: Path
) -> list[Measured]:
    """Every prompt by every arm that is tried, with the seeds of one round."""
    rows: list[Measured] = []
    engine: Engine | None = None
    for first in range(0, len(asked), BATCH):
        file = folder / f"{number}-{first}.csv"
        if not file.exists():
            engine = engine or Engine.load(family, [member.name for member in family.spec.members])
            began = perf_counter()
            made = list(measure_batch(engine, asked[first : first + BATCH], first, number, tried))
            _put(file, _measured.write_csv(made))
            print(f"seed {number}, prompts from {first}: {perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        rows += _measured.read_csv(file.read_text())
    return rows


def measure_batch(
    engine: Engine, asked: Sequence[Asked], first: int, number: int, tried: Sequence[str]
) -> Iterator[Measured]:
    """The prompts of one batch by the arms that are tried; ``first`` is the index of its first prompt."""
    batch = [Prompt(item.text, item.scene, seed_of(first + at, number)) for at, item in enumerate(asked)]
    index = {prompt.text: first + at for at, prompt in enumerate(batch)}
    studio = Studio(engine, batch)
    for arm in tried:
        for prompt, picture in studio.pictures(arm):
            said = judge(picture.numpy(), prompt.scene)
            right = fmean(said.parts.values())
            yield Measured(
                arm,
                index[prompt.text],
                prompt.text,
                prompt.seed,
                float(said.ok),
                round(right, 4),
                round(said.cleanness, 4),
            )


def fingerprint(family: ModelFamily, tried: Sequence[str], asked: Sequence[Asked]) -> str:
    """What is kept counts only for the same family (its solver among the rest), arms, prompts and weights."""
    weights = sorted(rise_shapes.weights_dir().rglob("*.safetensors"))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights]
    told = json.dumps([family.spec.model_dump_json(), tried, [item.text for item in asked], digests, BATCH])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def means_table(rows: Sequence[Measured]) -> str:
    """The mean quality of each arm as a Markdown table, the best first."""
    by_arm: dict[str, list[Measured]] = {}
    for row in rows:
        by_arm.setdefault(row.arm, []).append(row)
    lines = ["| arm | wholly right | parts right | clean | pictures |", "|---|---|---|---|---|"]
    for arm, mine in sorted(by_arm.items(), key=lambda item: -fmean(row.quality for row in item[1])):
        right, parts, clean = (fmean(getattr(row, name) for row in mine) for name in ("quality", "parts", "cleanness"))
        lines.append(f"| `{arm}` | {right:.3f} | {parts:.3f} | {clean:.3f} | {len(mine)} |")
    return "\n".join(lines)


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(text)
    half.replace(file)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
