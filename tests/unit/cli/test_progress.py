"""Progress from events, in the order they should come and in every other."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rise_cli import progress, view
from rise_cli.progress import Progress
from rise_contracts import messages
from rise_contracts.configuration import Configuration, Stage


def started(
    stage: int = 0, attempt: int = 1, delivery: int = 1, worker: str = "edge-1", resumed_at: int = 0
) -> messages.StageStarted:
    return messages.StageStarted(
        job_id="j", attempt=attempt, at=0, stage=stage, worker=worker, member="large", tier="edge", steps=6,
        delivery=delivery, resumed_at=resumed_at,
    )  # fmt: skip


def step(number: int, stage: int = 0, attempt: int = 1, worker: str = "edge-1") -> messages.StageProgress:
    return messages.StageProgress(
        job_id="j", attempt=attempt, at=0, stage=stage, worker=worker, member="large", tier="edge", step=number,
        steps=6, sigma=3.25, seconds_per_step=0.0125,
    )  # fmt: skip


def handed(attempt: int = 1) -> messages.HandoffSent:
    return messages.HandoffSent(
        job_id="j", attempt=attempt, at=0, stage=0, worker="edge-1", sigma=1.2, nbytes=2048, dtype="fp16", seconds=0.003
    )


def done(stage: int = 0, attempt: int = 1) -> messages.StageDone:
    report = messages.StageReport(
        stage=stage, member="large", tier="edge", pool="edge", worker="edge-1", steps=6, seconds=0.2, started_at=0,
        finished_at=0.2,
    )  # fmt: skip
    return messages.StageDone(job_id="j", attempt=attempt, at=0, stage=stage, worker="edge-1", report=report)


def failed(attempt: int = 1) -> messages.StageFailed:
    return messages.StageFailed(
        job_id="j", attempt=attempt, at=0, stage=0, worker="edge-1", reason="OutOfMemory", message="no room",
        retriable=True,
    )  # fmt: skip


CONFIGURATION = Configuration(
    arm="large:6@1.2+small:4",
    stages=(
        Stage(index=0, member="large", tier="edge", pool="edge", steps=6, sigma_to=1.2),
        Stage(index=1, member="small", tier="device", pool="device", steps=4, sigma_from=1.2),
    ),
)


def after(*events: messages.Event, first: Progress | None = None) -> Progress:
    state = first or Progress()
    for event in events:
        state = progress.advance(state, event)
    return state


def test_a_plan_shows_every_stage_before_it_begins() -> None:
    state = progress.plan(Progress(), CONFIGURATION, 1)
    assert [(bar.member, bar.tier, bar.state) for bar in state.bars.values()] == [
        ("large", "edge", "waiting"),
        ("small", "device", "waiting"),
    ]


def test_a_plan_does_not_undo_what_happened() -> None:
    state = after(started(), step(3))
    assert progress.plan(state, CONFIGURATION, 1) == state
    assert progress.plan(state, CONFIGURATION, 2).bars[0].state == "waiting"


def test_a_stage_runs_from_start_to_end() -> None:
    bar = after(started(), step(3), handed(), done()).bars[0]
    assert (bar.step, bar.steps, bar.state, bar.seconds, bar.worker) == (6, 6, "done", 0.2, "edge-1")
    assert bar.handoff is not None


GOES_ON = started(delivery=2, worker="edge-2", resumed_at=3)

LATE: dict[str, tuple[list[messages.Event], int, str]] = {
    "a step that comes twice": ([started(), step(3), step(3)], 3, "running"),
    "a step that comes late": ([started(), step(4), step(2)], 4, "running"),
    "a step after the end": ([started(), done(), step(2)], 6, "done"),
    "a start after a step": ([step(2), started()], 2, "running"),
    "a start after the end": ([started(), done(), started()], 6, "done"),
    "no start at all": ([step(1), done()], 6, "done"),
    "another worker begins again": ([started(), step(4), started(delivery=2, worker="edge-2")], 0, "running"),
    "the same worker begins again": ([started(), step(4), started(delivery=2)], 0, "running"),
    "another worker goes on": ([started(), step(4), GOES_ON], 3, "running"),
    "a step of the dead worker that comes late": ([started(), GOES_ON, step(4)], 4, "running"),
    "steps after going on": ([started(), step(4), GOES_ON, step(4, worker="edge-2")], 4, "running"),
    "it could make nothing of its checkpoint": ([GOES_ON, step(1, worker="edge-2")], 1, "running"),
    "and later steps then count as ever": (
        [GOES_ON, step(1, worker="edge-2"), step(3, worker="edge-2"), step(2, worker="edge-2")],
        3,
        "running",
    ),
    "a new attempt": ([started(), step(4), started(attempt=2)], 0, "running"),
    "an old attempt": ([started(attempt=2), step(2, attempt=2), step(5, attempt=1)], 2, "running"),
}


@pytest.mark.parametrize("case", LATE)
def test_events_out_of_order(case: str) -> None:
    events, want_step, want_state = LATE[case]
    bar = after(*events).bars[0]
    assert (bar.step, bar.state) == (want_step, want_state)


def test_trouble_is_told() -> None:
    state = after(started(), failed(), started(attempt=2), started(attempt=2, delivery=2, worker="edge-2"))
    assert state.said == (
        "stage 0 on edge-1 failed (OutOfMemory): no room",
        "stage 0 begins again on edge-2: an earlier worker did not finish it",
    )


def test_where_a_stage_goes_on_is_told() -> None:
    assert after(started(), GOES_ON).said == (
        "stage 0 goes on from step 3 on edge-2: an earlier worker did not finish it",
    )


def test_an_ending_is_kept() -> None:
    ending = messages.JobFailed(job_id="j", attempt=1, at=0, reason="StageFailed", message="no")
    assert after(started(), ending).ending == ending


def drawn(state: Progress) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(view.render(state))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_bars_show_member_step_speed_and_handoff() -> None:
    planned = progress.plan(Progress(), CONFIGURATION, 1)
    text = drawn(after(started(), step(3), first=planned))
    assert "large" in text
    assert "3/6  12 ms/step  σ 3.25" in text
    assert "0/4  waiting" in text
    text = drawn(after(started(), handed(), done(), first=planned))
    assert "σ 1.2 · 2,048 bytes fp16 · 3 ms" in text
    assert "6/6  200 ms in all" in text


def test_a_tier_that_is_not_used_says_so() -> None:
    assert "not used by this arm" in drawn(after(started()))


def test_where_there_is_no_terminal_each_happening_is_a_line() -> None:
    console = Console(file=io.StringIO(), width=100)
    with view.Screen(console) as screen:
        screen.note("starting")
        screen.note("starting")
        state = Progress()
        for event in (started(), step(2), handed(), done(), failed()):
            state = progress.advance(state, event)
            screen.show(state)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "starting",
        "edge: large, 6 steps, on edge-1",
        "handoff: σ 1.2 · 2,048 bytes fp16 · 3 ms",
        "edge: large done in 200 ms",
        "stage 0 on edge-1 failed (OutOfMemory): no room",
    ]


def test_quiet_is_quiet() -> None:
    console = Console(file=io.StringIO())
    with view.Screen(console, quiet=True) as screen:
        screen.note("starting")
        screen.show(after(started()))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize(
    ("nbytes", "want"),
    [(12, "12 bytes"), (2048, "2,048 bytes"), (20480, "20.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_for_people(nbytes: int, want: str) -> None:
    assert view.size(nbytes) == want
