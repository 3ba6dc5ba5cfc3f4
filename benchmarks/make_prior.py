"""`python -m benchmarks.make_prior`: what the scheduler believes of the embedded family before its first job.

From the pictures of benchmarks/data/shapes-arms.csv.gz (`python -m benchmarks.measure_arms` draws them) to the sums
over features of arm and prompt that the composed policy starts from: services/shapes/src/rise_shapes/prior.npz.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

import rise_shapes
from benchmarks._measured import Measured, load
from rise_contracts.configuration import parse_arm
from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm, ArmPart
from rise_scheduler.arm import arm_of as scheduler_arm
from rise_scheduler.composed import knowledge_npz
from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.features import design_for
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.posterior import Array
from rise_scheduler.prompt import prompt_features

FILE: Final = Path(rise_shapes.__file__).parent / "prior.npz"


def arm_of(name: str, family: ModelFamily) -> Arm:
    """The arm that a row names; it need not be one of the family's own."""
    tiers = {member.name: member.tier for member in family.spec.members}
    return scheduler_arm([ArmPart(stage.member, tiers[stage.member], *stage[1:]) for stage in parse_arm(name)])


def known(rows: Iterable[Measured], family: ModelFamily) -> tuple[Array, Array]:
    """What the policy sees of each picture's arm and prompt, (N, d), and its quality above what sizes foretell (N,)."""
    design = design_for(family)
    x, above = [], []
    for row in rows:
        static, base = design.rows_of([arm_of(row.arm, family)])
        x.append(design.matrix(static, prompt_features(row.prompt)))
        above.append(row.quality - base[0])
    return np.concatenate(x), np.array(above)


def sums_of(rows: Iterable[Measured], family: ModelFamily) -> Ridge:
    """The sums over ``rows``, each an outcome of weight 1."""
    return Ridge.of(design_for(family).names, *known(rows, family))


def main() -> None:
    """Write the file."""
    FILE.write_bytes(knowledge_npz.dump(Knowledge(quality=sums_of(load(), rise_shapes.family()))))
    print(f"{FILE.name}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
