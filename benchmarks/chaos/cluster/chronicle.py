"""What the API server says of RelayJobs, from the first to the last: the whole story of each, as one watch told.

A status is only ever what somebody sees, so that is what is kept: each different one, with the time when it came. The
watch outlives its server: it goes on from the revision that it has, and looks at everything anew where the server does
not remember that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rise_operator.api import RELAY_JOBS
from tests.kube.api import Api, Refused, Unreachable

AGAIN_S = 0.2
SHORT_S = 1.0
"""A watch that ends sooner than this was not begun at a revision that the server knows."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A status as it was seen. `ended`: those of Complete and Failed that are true; `at`: seconds, monotonic."""

    at: float
    ended: tuple[str, ...] = ()
    phase: str = ""
    digest: str = ""
    attempt: int = 0
    job_id: str = ""
    why: str = ""

    def says_as(self, other: Sight) -> bool:
        """Whether both say the same of how the job ended."""
        return (self.ended, self.digest, self.attempt) == (other.ended, other.digest, other.attempt)


@dataclass(slots=True)
class Story:
    """One RelayJob, by its uid."""

    name: str
    uid: str
    began: float
    sights: list[Sight] = field(default_factory=list)
    gone: float | None = None

    @property
    def end(self) -> Sight | None:
        """Its first final status."""
        return next((sight for sight in self.sights if sight.ended), None)

    @property
    def job_id(self) -> str:
        """Its name on the bus; empty while it has none."""
        return next((sight.job_id for sight in self.sights if sight.job_id), "")


class Chronicle:
    """All stories by name. Filled on the loop of `followed`; a reader on another thread sees whole statuses."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}

    def of(self, name: str) -> Story | None:
        return self.stories.get(name)

    def saw(self, kind: str, body: dict[str, Any], now: float) -> None:
        """Take in one event of the watch."""
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        story = self.stories.get(name)
        if story is None or story.uid != uid:
            story = self.stories[name] = Story(name, uid, now)
        if body.get("status"):
            sight = sight_of(body["status"], now)
            if not story.sights or _without_time(story.sights[-1]) != _without_time(sight):
                story.sights.append(sight)
        if kind == "DELETED":
            story.gone = now

    def listed(self, bodies: list[dict[str, Any]], now: float) -> None:
        """Take in all there are; what is not among them is gone."""
        for body in bodies:
            self.saw("LISTED", body, now)
        uids = {body["metadata"]["uid"] for body in bodies}
        for story in self.stories.values():
            if story.uid not in uids and story.gone is None:
                story.gone = now


def sight_of(status: dict[str, Any], now: float) -> Sight:
    """What a status says, cut down to what must not change once it is final."""
    true = {each["type"]: each for each in status.get("conditions") or () if each["status"] == "True"}
    ended = tuple(name for name in ("Complete", "Failed") if name in true)
    return Sight(
        at=now,
        ended=ended,
        phase=status.get("phase") or "",
        digest=(status.get("result") or {}).get("digest") or "",
        attempt=status.get("attempt") or 0,
        job_id=status.get("jobId") or "",
        why=" ".join(f"{true[name]['reason']}: {true[name].get('message', '')}" for name in ended),
    )


@contextlib.asynccontextmanager
async def followed(
    kubeconfig: Path, chronicle: Chronicle, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[None]:
    """Have `chronicle` see every change of any RelayJob for the length of the block."""
    async with Api(kubeconfig) as api:
        watching = asyncio.create_task(_follow(api, chronicle, clock))
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def _look(api: Api, chronicle: Chronicle, clock: Callable[[], float]) -> str:
    found = await api.call("GET", RELAY_JOBS.path(None))
    chronicle.listed(found["items"], clock())
    return str(found["metadata"]["resourceVersion"])


async def _follow(api: Api, chronicle: Chronicle, clock: Callable[[], float]) -> None:
    version = ""
    while True:
        began = clock()
        try:
            if not version:
                version = await _look(api, chronicle, clock)
            async for kind, body in api.watch(f"{RELAY_JOBS.path(None)}?allowWatchBookmarks=false", version):
                version = body["metadata"]["resourceVersion"]
                chronicle.saw(kind, body, clock())
            if clock() - began < SHORT_S:
                version = ""
        except (Refused, *Unreachable):
            await asyncio.sleep(AGAIN_S)


def _without_time(sight: Sight) -> Sight:
    return Sight(0.0, sight.ended, sight.phase, sight.digest, sight.attempt, sight.job_id, sight.why)
