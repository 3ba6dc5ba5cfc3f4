"""What a finished job leaves in the output folder."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rise_cli import report as reports
from rise_cli import written
from rise_cli.follow import Made
from rise_contracts import errors
from rise_shapes import grammar, render, scene
from tests.unit.cli import builders

PROMPT = "a large red circle on a pale ground"


def png() -> bytes:
    drawn = render.render(scene.Placed(grammar.parse(PROMPT), ((32.0, 32.0),)))
    stream = io.BytesIO()
    Image.fromarray(np.asarray(drawn)).save(stream, "PNG")
    return stream.getvalue()


def made(count: int = 1, **changes: object) -> Made:
    ref = builders.done().images[0]
    done = builders.done().model_copy(update={"images": (ref,) * count})
    return Made(builders.record(**changes), done, (png(),) * count, ((builders.handoff(), b"latent"),), 0.5)


def test_one_picture_has_the_jobs_name_and_several_are_numbered(tmp_path: Path) -> None:
    assert [Path(p.path).name for p in written.pictures(made(), tmp_path)] == ["job-1.png"]
    assert [Path(p.path).name for p in written.pictures(made(2), tmp_path)] == ["job-1-1.png", "job-1-2.png"]


def test_a_video_is_written_as_it_came(tmp_path: Path) -> None:
    ref = builders.done().images[0].model_copy(update={"frames": 9})
    video = replace(made(), done=builders.done().model_copy(update={"images": (ref,)}), images=(png(),))
    (found,) = written.pictures(video, tmp_path)
    assert found.frames == 9
    assert Path(found.path).read_bytes() == png()


def test_previews_lie_beside_the_picture(tmp_path: Path) -> None:
    ((_, path),) = written.previews(made(), tmp_path)
    assert path is not None
    assert (path.name, path.read_bytes()) == ("job-1-handoff.png", b"latent")


def test_a_right_picture_is_right_and_a_wrong_one_has_reasons() -> None:
    right = written.verdict(png(), PROMPT, "rise-shapes")
    wrong = written.verdict(png(), "a large blue square", "rise-shapes")
    assert right == reports.Verdict(ok=True)
    assert wrong is not None
    assert not wrong.ok
    assert wrong.reasons


@pytest.mark.parametrize(
    ("data", "prompt", "family"),
    [(png(), PROMPT, "sdxl"), (png(), "an astronaut on a horse", "rise-shapes")],
)
def test_what_cannot_be_judged_is_not_judged(data: bytes, prompt: str, family: str) -> None:
    assert written.verdict(data, prompt, family) is None


def test_quality_is_the_share_of_right_pictures() -> None:
    def picture(ok: bool | None) -> reports.Picture:
        verdict = None if ok is None else reports.Verdict(ok=ok)
        return reports.Picture(path="x", sha256="0", width=1, height=1, verdict=verdict)

    assert written.quality([picture(True), picture(False), picture(None)]) == 0.5
    assert written.quality([picture(None)]) is None
    assert written.quality([]) is None


def test_a_picture_that_has_no_place_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(errors.DiskFull, match="the picture is safe at") as caught:
        written.pictures(made(), Path("/proc/rise"))
    safe = tmp_path / "job-1.png"
    assert str(safe) in str(caught.value)
    assert safe.read_bytes() == png()


def test_a_sheet_is_drawn_from_what_was_written(tmp_path: Path) -> None:
    pictures = written.pictures(made(), tmp_path)
    run = reports.tell(builders.record(), builders.done(), 0.5, (), pictures)
    path = written.sheet(PROMPT, (run, run), tmp_path / "sheet.png")
    with Image.open(path) as drawn:
        assert drawn.width > 2 * 256


def test_arms_have_the_names_of_the_paper() -> None:
    run = reports.tell(builders.record(), builders.done(), 0.5, (), ())
    assert written.kind_of(run) == "relay"
    assert written.kind_of(run.model_copy(update={"stages": run.stages[:1]})) == "edge-only"
    assert written.kind_of(run.model_copy(update={"stages": run.stages[1:]})) == "device-only"
