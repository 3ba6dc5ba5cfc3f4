"""One side of a cut run as a process of its own: ``python -m tests.model.one_side SIDE ARCHITECTURE FAMILY FOLDER``.

SIDE is head or tail. The head writes what goes over the wire, header and payload; the tail reads it and writes its
final latents.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from safetensors.torch import save_file

from rise_contracts.configuration import Configuration
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Grid, Solver
from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import handed_over
from rise_stage.engine.latents import Expected, Origin, decode_handoff, encode_handoff
from rise_stage.quiet import quiet

STEPS = 6
CUTS = range(1, STEPS)
SOLVERS: tuple[Solver, ...] = get_args(Solver)
ON_A_FLOW: tuple[Solver, ...] = tuple(solver for solver in SOLVERS if solver != "ddim")
ORIGIN = Origin("job", 1, 0)


def uncut(family: ModelFamily, solver: Solver, grid: Grid = "family") -> Configuration:
    return configuration_of(f"large:{STEPS}", family, solver=solver, grid=grid)


def cut_at(engine: Engine, cut: int, solver: Solver, grid: Grid = "family") -> Configuration:
    """The uncut run in two stages, `cut` steps in the first."""
    sigma = engine.grid(uncut(engine.manifest, solver, grid), 0).sigmas[cut]
    arm = f"large:{cut}@{sigma!r}+large:{STEPS - cut}"
    return configuration_of(arm, engine.manifest, solver=solver, grid=grid, shared_grid=True)


def served(engine: Engine) -> tuple[Solver, ...]:
    return ON_A_FLOW if engine.family.flow else SOLVERS


def heads(engine: Engine, folder: Path) -> None:
    for solver in served(engine):
        for cut in CUTS:
            configuration = cut_at(engine, cut, solver)
            grid = engine.grid(configuration, 0)
            *_, last = engine.run("large", engine.encode(["a red dot"]), engine.noise([3]), grid, solver)
            latent = handed_over(last.latent, configuration, 0)
            header, payload = encode_handoff(latent, ORIGIN, engine.name, engine.latent_contract, "fp32", solver)
            (folder / f"{solver}-{cut}.json").write_text(header.model_dump_json())
            (folder / f"{solver}-{cut}.bin").write_bytes(payload)


def tails(engine: Engine, folder: Path) -> None:
    for solver in served(engine):
        finals = {}
        for cut in CUTS:
            configuration = cut_at(engine, cut, solver)
            header = HandoffHeader.model_validate_json((folder / f"{solver}-{cut}.json").read_text())
            expected = Expected(
                origin=ORIGIN,
                family=engine.name,
                latent_contract=engine.latent_contract,
                shape=(1, *engine.latent_shape(engine.size())),
                dtype="fp32",
                solver=solver,
                sigma=configuration.stages[1].sigma_from,
                sigma_max=engine.member("large").sigma_max,
                flow=engine.family.flow,
            )
            latent = decode_handoff(header, (folder / f"{solver}-{cut}.bin").read_bytes(), expected)
            grid = engine.grid(configuration, 1, latent.sigma)
            *_, last = engine.run("large", engine.encode(["a red dot"]), latent, grid, solver)
            finals[str(cut)] = last.x.contiguous()
        save_file(finals, folder / f"{solver}.safetensors")


if __name__ == "__main__":
    from tests.model.tiny import manifest

    quiet()
    side, architecture, *places = sys.argv[1:]
    family, folder = (Path(place) for place in places)
    {"head": heads, "tail": tails}[side](Engine.load(manifest(family, architecture)), folder)
