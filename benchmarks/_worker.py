"""A worker's computing as a process of its own: ``python -m benchmarks._worker ROLE MANIFEST FOLDER``.

All but the bus is as in `rise_stage`: what is imported, what is made ready, one stage as the loop would ask for it. It
prints the most that the process was resident with, in bytes. A head leaves its handoff in FOLDER for the tail.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args

from benchmarks._resident import peak_bytes
from rise_contracts import manifest
from rise_contracts.handoff import HandoffHeader
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime.seam import Handoff, StageContext
from rise_stage import serving, settings
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.families.architectures import family_class
from rise_stage.quiet import quiet

Role = Literal["imports", "head", "tail", "whole"]
ROLES: tuple[Role, ...] = get_args(Role)
STEPS = 2


def work(role: Role, path: Path, folder: Path) -> None:
    """Be a worker of the tier that does such work, get ready, and do it once."""
    quiet()
    family = manifest.load_family(path.read_text(), str(path))
    if role == "imports":
        family_class(family.spec.architecture)
        return
    chosen = settings.read(["--tier", "device" if role == "tail" else "edge", "--family", str(path)], {})
    handler = serving.make_handler(chosen, [family])
    index = 1 if role == "tail" else 0
    arm = arm_of(family, whole=role == "whole")
    stage = configuration_of(arm, family).stages[index]
    handler.prepare({family.metadata.name: [stage.member]})
    header, payload = None, b""
    if role == "tail":
        header = HandoffHeader.model_validate_json((folder / "header").read_text())
        payload = (folder / "payload").read_bytes()
    context = StageContext(chosen.identity, 1, lambda *_: None)
    result = handler(_task(family, arm, index, header), payload, context)
    if isinstance(result, Handoff):
        (folder / "header").write_text(result.header.model_dump_json())
        (folder / "payload").write_bytes(result.payload)


def arm_of(family: ModelFamily, *, whole: bool) -> str:
    """The first member alone, or with the last one as its tail from the family's first handoff on."""
    first, last = family.spec.members[0].name, family.spec.members[-1].name
    return f"{first}:{STEPS}" if whole else f"{first}:{STEPS}@{family.spec.handoffs[0]}+{last}:{STEPS}"


def _task(family: ModelFamily, arm: str, index: int, header: HandoffHeader | None) -> StageTask:
    spec = RelayJobSpec(family=family.metadata.name, prompt="a red circle")
    return StageTask(
        job_id="memory",
        attempt=1,
        stage_index=index,
        request=JobRequest(job_id="memory", spec=spec, seed=1, accepted_at=0.0),
        configuration=configuration_of(arm, family),
        handoff=header,
    )


if __name__ == "__main__":
    (chosen_role,) = (role for role in ROLES if role == sys.argv[1])
    work(chosen_role, Path(sys.argv[2]), Path(sys.argv[3]))
    print(peak_bytes())
