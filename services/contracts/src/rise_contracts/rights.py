"""Who may do what on the bus. Pure: what a NATS server is configured with is written from this, by nobody's hand.

Everybody whom the platform trusts is of one account of the server, RISE, with rights by role: they keep a fault or a
stolen key of one role from becoming that of another. A device is trusted by nobody. It has an account of its own, which
sees of RISE just what is imported, subject by subject.

A list of subjects alone would not hold it: a NATS server checks what a client publishes on, and not where it asks for
the answer. Whoever may read one message that he wrote may have JetStream publish it wherever he likes, as a result of
somebody else's job. Between accounts an answer goes back to who asked, and nowhere else. For the same reason a device
makes no consumers: one that pushes is told where to by whoever makes it (nats-server #8274).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from rise_contracts import subjects

Role = Literal["operator", "scheduler", "judge", "auditor", "user", "edge", "device"]
ROLES: Final[tuple[Role, ...]] = ("operator", "scheduler", "judge", "auditor", "user", "edge", "device")
WORKERS: Final[tuple[Role, ...]] = ("edge", "device")

TRUSTED: Final = "RISE"
"""The account of all but devices."""
_API: Final = "$JS.API"
_BUCKETS: Final = "KV_"
_ALL_STREAMS: Final = (f"{_API}.STREAM.>", f"{_API}.CONSUMER.>", f"{_API}.DIRECT.GET.>", "$JS.ACK.>")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with rights of their own. `pool` and `name` are a worker's; "*" stands for every one. A `private` device
    takes what is sent to it by name, and nothing that is for any of its pool."""

    role: Role
    pool: str = ""
    name: str = ""
    private: bool = False

    @property
    def inbox(self) -> str:
        """What the subjects begin with on which it is answered, and nobody else listens."""
        return ".".join(part for part in ("_INBOX", self.role, self.pool, self.name) if part)


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects. `answers`: it may answer whoever asks it, wherever that one listens."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False


def rights_of(who: Principal) -> Rights:
    """All that `who` may do; what is not there is refused."""
    publish = (f"{_API}.INFO", *_publishes(who))
    return Rights(publish, (f"{who.inbox}.>", *_HEARS.get(who.role, ())), answers=who.role == "scheduler")


_HEARS: Final[dict[Role, tuple[str, ...]]] = {
    "scheduler": (subjects.CONFIGURE, subjects.POLICY, "$SRV.>"),
    "user": (subjects.progress("*"),),
    "edge": (subjects.ALL_CANCELS,),
    "device": (subjects.ALL_CANCELS,),
}


def _publishes(who: Principal) -> Iterable[str]:
    match who.role:
        case "operator":
            return _operator()
        case "scheduler":
            return _scheduler()
        case "judge":
            return _judge()
        case "auditor":
            return _auditor()
        case "user":
            return _user()
        case "edge":
            return _edge(who)
        case "device":
            return _device(who)


def _operator() -> Iterable[str]:
    """The job driver, what looks at offers, and the resources of a cluster."""
    yield from _ALL_STREAMS
    yield from ("rise.work.>", "rise.events.>", "rise.dead.>", "rise.blobs.>", "rise.cancel.*", subjects.OUTCOMES)
    yield from (subjects.CONFIGURE, subjects.POLICY)
    for bucket in (
        subjects.KV_JOBS,
        subjects.KV_FENCES,
        subjects.KV_RESULTS,
        subjects.KV_OUTCASTS,
        subjects.KV_FAMILIES,
        subjects.KV_FORGOTTEN,
    ):
        yield f"$KV.{bucket}.>"


def _edge(me: Principal) -> Iterable[str]:
    """A worker that is of the platform: it stores what it makes, and looks at what devices offer."""
    yield from _ALL_STREAMS
    yield from ("rise.work.>", "rise.events.>", "rise.dead.>", "rise.blobs.>", "rise.checkpoints.>")
    yield from (subjects.progress("*", me.name), _heartbeat(me))
    for bucket in (subjects.KV_RESULTS, subjects.KV_OUTCASTS, subjects.KV_FAMILIES):
        yield f"$KV.{bucket}.>"


def _scheduler() -> Iterable[str]:
    yield from (f"{_API}.STREAM.{verb}.*" for verb in ("CREATE", "UPDATE", "INFO"))
    yield from _follows(subjects.STREAM_OUTCOMES)
    yield from _watches(subjects.KV_WORKERS, subjects.KV_OUTCASTS)
    for bucket in (subjects.KV_SCHEDULER, subjects.KV_DECISIONS, subjects.KV_FAMILIES):
        yield from _watches(bucket)
        yield f"$KV.{bucket}.>"


def _judge() -> Iterable[str]:
    yield from _follows(subjects.STREAM_EVENTS)
    yield from _watches(subjects.KV_JOBS, subjects.KV_RESULTS, subjects.KV_FAMILIES)
    yield from (_reads(subjects.STREAM_BLOBS), subjects.OUTCOMES)


def _auditor() -> Iterable[str]:
    """It judges, and submits jobs of its own."""
    yield from _judge()
    yield from _submits()
    yield from _watches(subjects.KV_WORKERS, subjects.KV_OUTCASTS, subjects.KV_DECISIONS, subjects.KV_AUDITS)
    yield f"$KV.{subjects.KV_AUDITS}.>"


def _user() -> Iterable[str]:
    """Who sits at a command line: submits, watches, cancels and removes jobs, and looks at everything."""
    yield from _judge()
    yield from _submits()
    yield from _watches(subjects.KV_WORKERS, subjects.KV_OUTCASTS, subjects.KV_DECISIONS, subjects.KV_AUDITS)
    yield from (subjects.CONFIGURE, subjects.POLICY)


def _submits() -> Iterable[str]:
    """A front door's part: records, and endings before their time."""
    yield from (f"$KV.{bucket}.>" for bucket in (subjects.KV_JOBS, subjects.KV_RESULTS, subjects.KV_FENCES))
    yield from (subjects.event("*", "job-cancelled"), "rise.cancel.*", f"{_API}.STREAM.PURGE.*")
    yield from (_reads(_BUCKETS + subjects.KV_FENCES), f"{_API}.STREAM.MSG.GET.{_BUCKETS}{subjects.KV_FENCES}")


def _device(me: Principal) -> Iterable[str]:
    """It takes its own work, and that which is for any of its pool, and offers what it has made of it."""
    stream = subjects.work_stream(me.pool)
    yield _heartbeat(me)
    yield subjects.progress("*", me.name)
    yield subjects.offers_of_worker(me.pool, me.name)
    for bucket in (subjects.KV_FENCES, subjects.KV_FAMILIES):
        yield f"{_API}.DIRECT.GET.{_BUCKETS}{bucket}.$KV.{bucket}.*"
    # What is imported twice is said twice: "*" stands for the common lane as well.
    for worker in (me.name,) if me.private or me.name == "*" else (me.name, None):
        lane, durable = subjects.lane(me.pool, worker), subjects.work_durable(worker)
        yield f"{_API}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        yield f"{_API}.CONSUMER.INFO.{stream}.{durable}"
        yield f"$JS.ACK.{stream}.{durable}.>"
        yield subjects.blobs_in(subjects.shelf(lane, me.name))
        yield subjects.checkpoints_of_lane(lane)
        yield _reads(subjects.STREAM_BLOBS, subjects.blobs_in(lane))
        yield _reads(subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_lane(lane))


def _heartbeat(me: Principal) -> str:
    return f"$KV.{subjects.KV_WORKERS}.{subjects.heartbeat(me.role, me.pool, me.name)}"


def _reads(stream: str, subject: str = ">") -> str:
    return f"{_API}.DIRECT.GET.{stream}.{subject}"


def _follows(stream: str) -> Iterable[str]:
    """With consumers of any kind."""
    yield f"{_API}.CONSUMER.CREATE.{stream}.>"
    for verb in ("MSG.NEXT", "INFO", "DELETE"):
        yield f"{_API}.CONSUMER.{verb}.{stream}.*"
    yield f"$JS.ACK.{stream}.>"


def _watches(*buckets: str) -> Iterable[str]:
    for bucket in buckets:
        yield _reads(_BUCKETS + bucket)
        yield from _follows(_BUCKETS + bucket)


@dataclass(frozen=True, slots=True)
class Grant:
    """What lets `who` in: the public half of an nkey, or a password (the user's name is the role's)."""

    who: Principal
    nkey: str = ""
    password: str = ""


def configuration(grants: Iterable[Grant]) -> str:
    """The part of a nats-server's configuration file that lets these in, and nobody else."""
    granted = list(grants)
    devices = [grant for grant in granted if grant.who.role == "device"]
    accounts = {account_of(grant.who): _device_account(grant) for grant in devices}
    trusted: dict[str, object] = {
        "jetstream": "enabled",
        "users": [_user_of(grant) for grant in granted if grant.who.role != "device"],
        "exports": [
            {"service": ">", "response_type": "stream", "accounts": sorted(accounts)},
            {"stream": subjects.ALL_CANCELS, "accounts": sorted(accounts)},
        ],
    }
    if not accounts:
        del trusted["exports"]
    # JSON is valid in this format, too.
    return "accounts: " + json.dumps({TRUSTED: trusted, **accounts}, indent=2) + "\n"


def account_of(who: Principal) -> str:
    """The account of the server that somebody is in."""
    return f"DEVICE_{who.pool}_{who.name}".replace("*", subjects.ANY) if who.role == "device" else TRUSTED


def _device_account(grant: Grant) -> dict[str, object]:
    imports: list[dict[str, object]] = [
        {"service": {"account": TRUSTED, "subject": subject}} for subject in rights_of(grant.who).publish
    ]
    imports.append({"stream": {"account": TRUSTED, "subject": subjects.ALL_CANCELS}})
    return {"users": [_user_of(grant)], "imports": imports}


def _user_of(grant: Grant) -> dict[str, object]:
    rights = rights_of(grant.who)
    permissions: dict[str, object] = {
        "publish": {"allow": list(rights.publish)},
        "subscribe": {"allow": list(rights.subscribe)},
    }
    if rights.answers:
        permissions["allow_responses"] = True
    known = {"nkey": grant.nkey} if grant.nkey else {"user": grant.who.role, "password": grant.password}
    return {**known, "permissions": permissions}
