"""What a person sees: progress bars that move, a line where something happened, and the story at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rise_cli.progress import Bar, Progress
from rise_contracts import messages

TIER_STYLE = {"edge": "blue", "device": "yellow"}
BAR_WIDTH = 28


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def size(nbytes: int) -> str:
    if nbytes < 10_000:
        return f"{nbytes:,} bytes"
    for unit, step in (("KiB", 1024), ("MiB", 1024**2)):
        if nbytes < 1024 * step:
            return f"{nbytes / step:,.1f} {unit}"
    return f"{nbytes / 1024**3:,.1f} GiB"


def render(state: Progress, note: str = "") -> RenderableType:
    """The bars, one per stage, with the handoffs between them."""
    table = Table.grid(padding=(0, 1))
    for bar in state.bars.values():
        table.add_row(*_row(bar))
        if bar.handoff is not None:
            table.add_row(
                Text("  ↓", style="dim"), Text("handoff", style="dim"), Text(handoff(bar.handoff), style="dim")
            )
    unused = [tier for tier in ("edge", "device") if tier not in {bar.tier for bar in state.bars.values()}]
    for tier in unused if state.bars else ():
        table.add_row(Text(tier, style="dim"), Text("–", style="dim"), Text("not used by this arm", style="dim"))
    parts: list[RenderableType] = [table, *(Text(line, style="yellow") for line in state.said)]
    if note:
        parts.append(Spinner("dots", Text(note, style="dim")))
    return Group(*parts)


def handoff(event: messages.HandoffSent) -> str:
    return f"σ {event.sigma:.3g} · {size(event.nbytes)} {event.dtype} · {seconds(event.seconds)}"


def _row(bar: Bar) -> tuple[RenderableType, ...]:
    style = TIER_STYLE[bar.tier]
    colour = "red" if bar.state == "failed" else style
    moving = ProgressBar(
        total=bar.steps, completed=bar.step, width=BAR_WIDTH, complete_style=colour, finished_style=colour
    )
    speed = f"{seconds(bar.seconds_per_step)}/step" if bar.seconds_per_step is not None else ""
    detail = {"waiting": "waiting", "failed": "failed"}.get(bar.state, "")
    if bar.state == "running" and bar.sigma is not None:
        detail = f"σ {bar.sigma:.3g}"
    if bar.seconds is not None:
        detail = f"{seconds(bar.seconds)} in all"
    tail = Text("  ".join(part for part in (f"{bar.step}/{bar.steps}", speed, detail) if part))
    return Text(bar.tier, style=f"bold {style}"), Text(bar.member), Columns(moving, tail)


class Columns:
    """A bar and a text beside it, as one cell; a grid of its own would stretch the bar."""

    def __init__(self, bar: ProgressBar, text: Text) -> None:
        self._table = Table.grid(padding=(0, 1))
        self._table.add_row(bar, text)

    def __rich__(self) -> Table:
        return self._table


class Screen:
    """Progress on a terminal, live; elsewhere a line for each thing that happened, and nothing when quiet."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.state, self._note = Progress(), ""
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(console=self.console, refresh_per_second=12, get_renderable=self._render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the last state standing. What is said from now on comes as lines."""
        self._note = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        """What is being waited for now."""
        if text != self._note and text:
            self._print(text)
        self._note = text

    def status(self, text: str) -> None:
        """What is going on now, of no interest once it is over: only a live display shows it."""
        self._note = text

    def warn(self, text: str) -> None:
        """Something to know that stops nothing. Said in quiet too: it is on stderr."""
        self.console.print(Text(f"warning: {text}", style="yellow"), soft_wrap=True)

    def begin(self) -> None:
        """A new job: what was shown of the last one stays above, and the bars are empty."""
        if self._live is not None and self.state.bars:
            self.console.print(render(self.state))
        self.state = Progress()

    def show(self, state: Progress) -> None:
        for line in changes(self.state, state):
            self._print(line)
        self.state = state

    def _print(self, line: str) -> None:
        if self._live is None and not self.quiet:
            self.console.print(line, highlight=False, markup=False)

    def _render(self) -> RenderableType:
        return render(self.state, self._note)


def changes(before: Progress, after: Progress) -> Iterable[str]:
    """What is worth a line in a log: stages begun and done, handoffs, trouble."""
    for index, bar in after.bars.items():
        old = before.bars.get(index)
        if bar.state == "running" and (old is None or old.state != "running"):
            yield f"{bar.tier}: {bar.member}, {bar.steps} steps, on {bar.worker}"
        if bar.handoff is not None and (old is None or old.handoff is None):
            yield f"handoff: {handoff(bar.handoff)}"
        if bar.state == "done" and (old is None or old.state != "done") and bar.seconds is not None:
            yield f"{bar.tier}: {bar.member} done in {seconds(bar.seconds)}"
    yield from after.said[len(before.said) :]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table for `get` and `doctor`: no borders, so that it can be cut with text tools."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
