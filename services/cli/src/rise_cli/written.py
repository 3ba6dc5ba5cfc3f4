"""What a finished job leaves in the output folder: pictures, previews, the contact sheet, the report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rise_cli import arms, outputs, vocabulary
from rise_cli import report as reports
from rise_cli import sheet as sheets
from rise_cli.follow import Made
from rise_contracts import errors, messages


def pictures(made: Made, out: Path) -> tuple[reports.Picture, ...]:
    """Write the PNG files as they came, and judge what can be judged. A finished picture is not lost to a full disk:
    it goes to the temporary folder then, and the error says so."""
    spec = made.record.request.spec
    found = []
    for index, (png, ref) in enumerate(zip(made.images, made.done.images, strict=True), 1):
        name = f"{made.record.job_id}{f'-{index}' if len(made.images) > 1 else ''}.png"
        path = _write_or_rescue(out / name, png)
        found.append(
            reports.Picture(
                path=str(path),
                sha256=ref.sha256,
                width=ref.width,
                height=ref.height,
                frames=ref.frames,
                verdict=verdict(png, spec.prompt, spec.family),
            )
        )
    return tuple(found)


def quality(found: Sequence[reports.Picture]) -> float | None:
    """The share of pictures that are as the prompt says; None where nobody can tell."""
    verdicts = [picture.verdict.ok for picture in found if picture.verdict is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def previews(made: Made, out: Path) -> tuple[tuple[messages.HandoffSent, Path | None], ...]:
    """Write the decoded latent of each handoff that has one."""
    return tuple(
        (sent, _write_or_rescue(out / f"{made.record.job_id}-handoff.png", png) if png else None)
        for sent, png in made.handoffs
    )


def verdict(png: bytes, prompt: str, family: str) -> reports.Verdict | None:
    """Whether the picture shows what the prompt says; None where no program can tell."""
    if family != vocabulary.EMBEDDED:
        return None
    from rise_shapes import judge

    found = judge.verdict(png, prompt)
    return None if found is None else reports.Verdict(ok=found.ok, reasons=tuple(found.reasons))


def sheet(prompt: str, runs: Sequence[reports.Run], path: Path) -> Path:
    """Draw the contact sheet of a comparison from the pictures that were written."""
    machine = reports.machine()
    note = f"seed {runs[0].seed} · {arms.plural(machine.cores, 'core')} · {machine.system} · rise {reports.version()}"
    drawn = sheets.draw(prompt, note, [_cell(run) for run in runs])
    stream = io.BytesIO()
    drawn.save(stream, "PNG", optimize=True)
    return outputs.write(path, stream.getvalue())


def report(told: reports.Report, path: Path) -> Path:
    return outputs.write(path, told.model_dump_json(indent=2).encode() + b"\n")


def _cell(run: reports.Run) -> sheets.Cell:
    from PIL import Image

    first = run.pictures[0]
    with Image.open(first.path) as opened:
        image = opened.convert("RGB")
    return sheets.Cell(
        title=kind_of(run),
        subtitle=arms.brief(run.arm),
        image=image,
        seconds=run.seconds,
        edge_seconds=run.edge_seconds,
        device_seconds=run.device_seconds,
        ok=first.verdict.ok if first.verdict else None,
        reasons=first.verdict.reasons if first.verdict else (),
        speedup=run.speedup,
    )


def kind_of(run: reports.Run) -> str:
    """edge-only, device-only or relay."""
    tiers = [stage.tier for stage in run.stages]
    return "relay" if len(tiers) > 1 else f"{tiers[0]}-only"


def _write_or_rescue(path: Path, data: bytes) -> Path:
    try:
        return outputs.write(path, data)
    except errors.DiskFull as error:
        kept = outputs.rescue(data, path.name)
        if kept is None:
            raise
        raise errors.DiskFull(str(path), f"no room or no right; the picture is safe at {kept}") from error
