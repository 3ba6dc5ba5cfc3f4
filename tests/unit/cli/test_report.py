"""The report, and what is printed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_cli import report as reports
from rise_cli import story
from tests.unit.cli import builders


def run(seconds: float = 0.5, arm: str = builders.CONFIGURATION.arm, **changes: object) -> reports.Run:
    picture = reports.Picture(
        path="out/x.png", sha256=builders.PNG_SHA, width=64, height=64, verdict=reports.Verdict(ok=True)
    )
    told = reports.tell(
        builders.record(), builders.done(), seconds, ((builders.handoff(), Path("out/h.png")),), (picture,)
    )
    return told.model_copy(update={"arm": arm, **changes})


def test_a_run_tells_each_stage_with_its_stretch_of_noise() -> None:
    told = run()
    assert [(s.member, s.steps, s.sigma_from, s.sigma_to) for s in told.stages] == [
        ("large", 6, None, 1.2),
        ("finisher", 5, 1.2, 0.0),
    ]
    assert (told.edge_seconds, told.device_seconds) == (0.3, 0.1)
    assert told.overhead_seconds == pytest.approx(0.1)
    assert (told.policy, told.predicted.latency_s, told.seed) == ("fixed", 0.5, 7)


def test_handoffs_of_attempts_that_failed_are_left_out() -> None:
    told = reports.tell(
        builders.record(attempt=2),
        builders.done(attempt=2),
        1.0,
        ((builders.handoff(attempt=1), None), (builders.handoff(attempt=2), None)),
        (),
    )
    assert len(told.handoffs) == 1


def test_speed_is_told_only_against_what_was_measured() -> None:
    runs = (run(0.5), run(1.5, "large:20"))
    assert [one.speedup for one in reports.with_speedups(runs, "large:20")] == [3.0, None]
    assert [one.speedup for one in reports.with_speedups(runs, "large:40")] == [None, None]
    assert [one.speedup for one in reports.with_speedups(runs, None)] == [None, None]


def test_a_report_reads_back_as_it_was() -> None:
    told = reports.of_run(builders.record(), run(), ["a warning"])
    assert reports.Report.model_validate_json(told.model_dump_json()) == told


def test_the_story_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = reports.with_speedups((run(0.5), run(1.5, "large:20", edge_seconds=1.2)), "large:20")
    report = reports.of_run(builders.record(), runs[0]).model_copy(update={"runs": runs})
    story.tell(report, tmp_path, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "arm      large 6 steps, then finisher 5 below sigma 1.2, chosen by policy fixed",
        "picture  out/x.png  ✓ as the prompt says",
        "handoff  σ 1.2 · 2,048 bytes fp16 · 2 ms  out/h.png",
        "time     500 ms: edge 300 ms, device 100 ms, the rest 100 ms (predicted 500 ms)",
        "against  large alone, 20 steps, timed here too: 1.50 s",
        "         this was 3.00 times as fast, with 75% of the edge's time saved",
        f"report   {tmp_path / 'job-1.json'}",
    ]
    assert reports.Report.model_validate_json((tmp_path / "job-1.json").read_text()) == report


def test_a_slower_run_is_called_slower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = reports.with_speedups((run(2.0), run(1.0, "large:20", edge_seconds=0.2)), "large:20")
    story.tell(reports.of_run(builders.record(), runs[0]).model_copy(update={"runs": runs}), tmp_path, as_json=False)
    assert "         this took 2.00 times as long\n" in capsys.readouterr().out


def test_a_stage_that_went_on_from_a_checkpoint_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run()
    head = one.stages[0].model_copy(update={"resumed_at": 7, "earlier_seconds": 2.5})
    story.tell(
        reports.of_run(builders.record(), one.model_copy(update={"stages": (head, *one.stages[1:])})),
        tmp_path,
        as_json=False,
    )
    assert "edge 300 ms from step 7, after 2.50 s on a worker that did not end it, device" in capsys.readouterr().out


def test_a_wrong_picture_is_called_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = reports.Verdict(ok=False, reasons=("the circle is missing",))
    picture = run().pictures[0].model_copy(update={"verdict": wrong})
    story.tell(reports.of_run(builders.record(), run(pictures=(picture,))), tmp_path, as_json=False)
    assert "✗ the circle is missing" in capsys.readouterr().out


def test_a_video_is_told_with_its_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = run().pictures[0].model_copy(update={"frames": 33, "verdict": None})
    story.tell(reports.of_run(builders.record(), run(pictures=(video,))), tmp_path, as_json=False)
    assert "video    out/x.png, 33 frames at 16 a second\n" in capsys.readouterr().out


def test_as_json_it_is_the_report_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = reports.of_run(builders.record(), run())
    story.tell(report, tmp_path, as_json=True)
    assert reports.Report.model_validate_json(capsys.readouterr().out) == report


def test_a_comparison_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = reports.with_speedups((run(1.5, "large:20"), run(0.5)), "large:20")
    report = reports.of_run(builders.record(), runs[0]).model_copy(
        update={"runs": runs, "kind": "compare", "sheet": "out/x-compare.png"}
    )
    story.tell(report, tmp_path, as_json=False)
    text = capsys.readouterr().out
    assert "large alone, 20 steps" in text
    assert "3.00×" in text
    assert "sheet    out/x-compare.png" in text
    assert (tmp_path / "x-compare.json").exists()
