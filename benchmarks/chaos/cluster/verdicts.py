"""What must be true of RelayJobs when a storm is over, by the API server alone. Pure: stories to complaints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.cluster.chronicle import Story

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of an accepted RelayJob. `digest`: of its pictures in an undisturbed run; `gone`: it was deleted
    on purpose, and may have ended before in any way or none."""

    name: str
    digest: str
    gone: bool = False


def lost(stories: Mapping[str, Story], job: Expected) -> Iterator[str]:
    """A job that is not there any more, or that failed."""
    story = stories.get(job.name)
    if story is None:
        yield f"{job.name}: accepted, and never seen"
    elif story.gone is not None and not job.gone:
        last = story.sights[-1].phase if story.sights else "without a status"
        yield f"{job.name}: accepted, and gone when it was {last}"
    elif not job.gone and story.end is not None and "Complete" not in story.end.ended:
        yield f"{job.name}: wanted Complete, got {story.end.why}"


def duplicated(stories: Mapping[str, Story], job: Expected) -> Iterator[str]:
    """A job with two ends, with an end that changed, or with a result that it would not have undisturbed."""
    story = stories.get(job.name)
    end = story.end if story is not None else None
    if story is None or end is None:
        return
    if len(end.ended) > 1:
        yield f"{job.name}: both {' and '.join(end.ended)} are true"
    after = story.sights[story.sights.index(end) + 1 :]
    for sight in after:
        if not sight.says_as(end):
            yield f"{job.name}: was {_said(end.ended, end.digest)}, became {_said(sight.ended, sight.digest)}"
    if "Complete" in end.ended and job.digest and end.digest != job.digest:
        yield f"{job.name}: wanted the result {job.digest[:12]}, got {end.digest[:12] or 'none'}"


def hung(stories: Mapping[str, Story], job: Expected) -> Iterator[str]:
    """A job without an end, or one that was deleted and is there, although its time is up."""
    story = stories.get(job.name)
    if story is None:
        return
    if job.gone and story.gone is None:
        yield f"{job.name}: deleted, and still there"
    if not job.gone and story.gone is None and story.end is None:
        last = story.sights[-1] if story.sights else None
        yield f"{job.name}: still {last.phase or 'without a phase' if last is not None else 'without a status'}"


def orphans(pods: Iterable[Object], uids: Iterable[str], label: str) -> Iterator[str]:
    """Pods that were made for a job that is over or gone; `uids` are of those that are neither."""
    there = set(uids)
    for pod in pods:
        owner = (pod["metadata"].get("labels") or {}).get(label)
        if owner is not None and owner not in there:
            yield f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} of a job that is over"


def told(events: Iterable[Object], secret: str) -> Iterator[str]:
    """Events that name what is the user's own."""
    for event in events:
        if secret in str(event.get("message", "")) or secret in str(event.get("reason", "")):
            yield f"event {event['metadata']['name']} tells the prompt"


def _said(ended: tuple[str, ...], digest: str) -> str:
    return " ".join([*ended, digest[:12]]).strip() or "not over"
