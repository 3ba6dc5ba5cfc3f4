"""Who may say and hear what, written down a second time and by hand: a right that is added without being added here
makes a test fail, of the list itself and against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rise_contracts.rights import Principal

OPERATOR, SCHEDULER, JUDGE = Principal("operator"), Principal("scheduler"), Principal("judge")
AUDITOR, USER = Principal("auditor"), Principal("user")
EDGE = Principal("edge", "edge", "edge-1")
DEVICE = Principal("device", "device", "device-1")
OTHER = Principal("device", "device", "device-2")
"""Another of the same pool."""
STRANGER = Principal("device", "phones", "phone-1")
"""A device of another pool."""
PRIVATE = Principal("device", "device", "private-1", private=True)
"""Somebody's own, which does nothing for others."""
EVERYBODY: Final = (OPERATOR, SCHEDULER, JUDGE, AUDITOR, USER, EDGE, DEVICE, OTHER, STRANGER, PRIVATE)

_MAKERS = (OPERATOR, EDGE)
_POOL = (DEVICE, OTHER)
_DEVICES = (*_POOL, STRANGER, PRIVATE)
_FRONT = (AUDITOR, USER)
_READERS = (OPERATOR, EDGE, JUDGE, *_FRONT)
_ALL = EVERYBODY
_NOBODY: tuple[Principal, ...] = ()

# One job, its stages on the lanes edge.any, device.any, device.device-2, device.private-1 and phones.phone-1.
_SAID: Final[dict[str, tuple[Principal, ...]]] = {
    # work: who hands it out
    "rise.work.edge.any.job-1.1": _MAKERS,
    "rise.work.device.any.job-1.1": _MAKERS,
    "rise.work.device.device-1.job-1.1": _MAKERS,
    "rise.work.phones.phone-1.job-1.1": _MAKERS,
    # what happened
    "rise.events.job-1.job-done": _MAKERS,
    "rise.events.job-1.stage-failed": _MAKERS,
    "rise.events.job-1.job-cancelled": (*_MAKERS, *_FRONT),
    "rise.dead.job-1": _MAKERS,
    "rise.outcomes": (OPERATOR, JUDGE, *_FRONT),
    "rise.cancel.job-1": (OPERATOR, *_FRONT),
    "rise.scheduler.configure": (OPERATOR, USER),
    "rise.scheduler.policy": (OPERATOR, USER),
    "rise.progress.job-1.edge-1": (EDGE,),
    "rise.progress.job-1.device-1": (DEVICE,),
    "rise.progress.job-1.device-2": (OTHER,),
    "rise.progress.job-1.phone-1": (STRANGER,),
    "rise.progress.job-1.private-1": (PRIVATE,),
    # offers: under one's own name alone
    "rise.offers.device.device-1.job-1.job-done": (DEVICE,),
    "rise.offers.device.device-2.job-1.job-done": (OTHER,),
    "rise.offers.phones.phone-1.job-1.job-done": (STRANGER,),
    "rise.offers.device.private-1.job-1.job-done": (PRIVATE,),
    "rise.offers.phones.device-1.job-1.job-done": _NOBODY,
    "rise.offers.edge.edge-1.job-1.job-done": _NOBODY,
    # bytes
    "rise.blobs.edge.any.RISE.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.device.any.RISE.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.device.any.device-1.job-1.handoff.1.0123.0": (*_MAKERS, DEVICE),
    "rise.blobs.device.any.device-2.job-1.handoff.1.0123.0": (*_MAKERS, OTHER),
    "rise.blobs.device.any.private-1.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.device.device-1.RISE.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.device.device-1.device-1.job-1.handoff.1.0123.0": (*_MAKERS, DEVICE),
    "rise.blobs.device.device-1.device-2.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.device.device-2.device-2.job-1.handoff.1.0123.0": (*_MAKERS, OTHER),
    "rise.blobs.phones.phone-1.phone-1.job-1.handoff.1.0123.0": (*_MAKERS, STRANGER),
    "rise.blobs.device.private-1.private-1.job-1.handoff.1.0123.0": (*_MAKERS, PRIVATE),
    "rise.blobs.phones.any.phone-1.job-1.handoff.1.0123.0": (*_MAKERS, STRANGER),
    "rise.blobs.phones.any.device-1.job-1.handoff.1.0123.0": _MAKERS,
    "rise.blobs.KEPT.any.RISE.job-1.result.1.0123.0": _MAKERS,
    "rise.checkpoints.edge.any.job-1.1.0": (EDGE,),
    "rise.checkpoints.device.any.job-1.1.1": (EDGE, *_POOL),
    "rise.checkpoints.device.device-1.job-1.1.1": (EDGE, DEVICE),
    "rise.checkpoints.device.device-2.job-1.1.1": (EDGE, OTHER),
    "rise.checkpoints.phones.phone-1.job-1.1.1": (EDGE, STRANGER),
    "rise.checkpoints.device.private-1.job-1.1.1": (EDGE, PRIVATE),
    "rise.checkpoints.phones.any.job-1.1.1": (EDGE, STRANGER),
    # buckets, written
    "$KV.rise_jobs.job-1": (OPERATOR, *_FRONT),
    "$KV.rise_fences.job-1": (OPERATOR, *_FRONT),
    "$KV.rise_results.job-1": (*_MAKERS, *_FRONT),
    "$KV.rise_outcasts.device-1": _MAKERS,
    "$KV.rise_families.rise-shapes": (*_MAKERS, SCHEDULER),
    "$KV.rise_scheduler.linucb": (SCHEDULER,),
    "$KV.rise_decisions.d-1": (SCHEDULER,),
    "$KV.rise_audits.job-1": (AUDITOR,),
    "$KV.rise_forgotten.rise_jobs": (OPERATOR,),
    "$KV.rise_workers.edge.edge.edge-1": (EDGE,),
    "$KV.rise_workers.device.device.device-1": (DEVICE,),
    "$KV.rise_workers.device.device.device-2": (OTHER,),
    "$KV.rise_workers.device.phones.phone-1": (STRANGER,),
    "$KV.rise_workers.device.device.private-1": (PRIVATE,),
    "$KV.rise_workers.edge.edge.edge-2": _NOBODY,
    # buckets and bytes, read
    "$JS.API.DIRECT.GET.KV_rise_jobs.$KV.rise_jobs.job-1": _READERS,
    "$JS.API.DIRECT.GET.KV_rise_results.$KV.rise_results.job-1": _READERS,
    "$JS.API.DIRECT.GET.KV_rise_fences.$KV.rise_fences.job-1": (*_MAKERS, *_FRONT, *_DEVICES),
    "$JS.API.DIRECT.GET.KV_rise_families.$KV.rise_families.rise-shapes": (*_READERS, SCHEDULER, *_DEVICES),
    "$JS.API.DIRECT.GET.KV_rise_workers.$KV.rise_workers.device.device.device-2": (*_MAKERS, SCHEDULER, *_FRONT),
    "$JS.API.DIRECT.GET.KV_rise_outcasts.$KV.rise_outcasts.device-1": (*_MAKERS, SCHEDULER, *_FRONT),
    "$JS.API.DIRECT.GET.KV_rise_scheduler.$KV.rise_scheduler.linucb": (*_MAKERS, SCHEDULER),
    "$JS.API.DIRECT.GET.KV_rise_decisions.$KV.rise_decisions.d-1": (*_MAKERS, SCHEDULER, *_FRONT),
    "$JS.API.DIRECT.GET.KV_rise_audits.$KV.rise_audits.job-1": (*_MAKERS, *_FRONT),
    "$JS.API.DIRECT.GET.KV_rise_forgotten.$KV.rise_forgotten.rise_jobs": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_BLOBS": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.edge.any.RISE.job-1.handoff.1.0123.0": _READERS,
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.device.any.RISE.job-1.handoff.1.0123.0": (*_READERS, *_POOL),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.device.any.device-1.job-1.handoff.1.0123.0": (*_READERS, *_POOL),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.device.device-1.RISE.job-1.handoff.1.0123.0": (*_READERS, DEVICE),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.device.device-2.RISE.job-1.handoff.1.0123.0": (*_READERS, OTHER),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.phones.phone-1.RISE.job-1.handoff.1.0123.0": (*_READERS, STRANGER),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.device.private-1.RISE.job-1.handoff.1.0123.0": (*_READERS, PRIVATE),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.phones.any.RISE.job-1.handoff.1.0123.0": (*_READERS, STRANGER),
    "$JS.API.DIRECT.GET.RISE_BLOBS.rise.blobs.KEPT.any.RISE.job-1.result.1.0123.0": _READERS,
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.edge.any.job-1.1.0": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.device.any.job-1.1.1": (*_MAKERS, *_POOL),
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.device.device-1.job-1.1.1": (*_MAKERS, DEVICE),
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.device.device-2.job-1.1.1": (*_MAKERS, OTHER),
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.phones.phone-1.job-1.1.1": (*_MAKERS, STRANGER),
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.device.private-1.job-1.1.1": (*_MAKERS, PRIVATE),
    "$JS.API.DIRECT.GET.RISE_CHECKPOINTS.rise.checkpoints.phones.any.job-1.1.1": (*_MAKERS, STRANGER),
    "$JS.API.DIRECT.GET.RISE_EVENTS.rise.events.job-1.job-done": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_OFFERS.rise.offers.device.device-2.job-1.job-done": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_WORK_EDGE.rise.work.edge.any.job-1.1": _MAKERS,
    "$JS.API.DIRECT.GET.RISE_WORK_DEVICE.rise.work.device.device-1.job-1.1": _MAKERS,
    # consumers
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_EDGE.any": _MAKERS,
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_DEVICE.any": (*_MAKERS, *_POOL),
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_DEVICE.device-1": (*_MAKERS, DEVICE),
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_DEVICE.device-2": (*_MAKERS, OTHER),
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_PHONES.phone-1": (*_MAKERS, STRANGER),
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_DEVICE.private-1": (*_MAKERS, PRIVATE),
    "$JS.API.CONSUMER.MSG.NEXT.RISE_WORK_PHONES.any": (*_MAKERS, STRANGER),
    "$JS.API.CONSUMER.INFO.RISE_WORK_EDGE.any": _MAKERS,
    "$JS.API.CONSUMER.INFO.RISE_WORK_DEVICE.any": (*_MAKERS, *_POOL),
    "$JS.API.CONSUMER.INFO.RISE_WORK_DEVICE.device-1": (*_MAKERS, DEVICE),
    "$JS.API.CONSUMER.INFO.RISE_WORK_DEVICE.device-2": (*_MAKERS, OTHER),
    "$JS.API.CONSUMER.INFO.RISE_WORK_PHONES.phone-1": (*_MAKERS, STRANGER),
    "$JS.API.CONSUMER.INFO.RISE_WORK_DEVICE.private-1": (*_MAKERS, PRIVATE),
    "$JS.API.CONSUMER.INFO.RISE_WORK_PHONES.any": (*_MAKERS, STRANGER),
    "$JS.API.CONSUMER.CREATE.RISE_WORK_DEVICE.device-1.rise.work.device.device-1.>": _MAKERS,
    "$JS.API.CONSUMER.CREATE.RISE_WORK_DEVICE.device-1.rise.work.device.device-2.>": _MAKERS,
    "$JS.API.CONSUMER.CREATE.RISE_WORK_EDGE.device-1.rise.work.edge.any.>": _MAKERS,
    "$JS.API.CONSUMER.CREATE.RISE_WORK_DEVICE.any": _MAKERS,
    "$JS.API.CONSUMER.DURABLE.CREATE.RISE_WORK_DEVICE.device-1": _MAKERS,
    "$JS.API.CONSUMER.DELETE.RISE_WORK_DEVICE.device-1": _MAKERS,
    "$JS.API.CONSUMER.DELETE.RISE_WORK_DEVICE.any": _MAKERS,
    "$JS.API.CONSUMER.LIST.RISE_WORK_DEVICE": _MAKERS,
    "$JS.API.CONSUMER.PAUSE.RISE_WORK_DEVICE.any": _MAKERS,
    "$JS.ACK.RISE_WORK_EDGE.any.1.1.1.1.0": _MAKERS,
    "$JS.ACK.RISE_WORK_DEVICE.any.1.1.1.1.0": (*_MAKERS, *_POOL),
    "$JS.ACK.RISE_WORK_DEVICE.device-1.1.1.1.1.0": (*_MAKERS, DEVICE),
    "$JS.ACK.RISE_WORK_DEVICE.device-2.1.1.1.1.0": (*_MAKERS, OTHER),
    "$JS.ACK.RISE_WORK_PHONES.phone-1.1.1.1.1.0": (*_MAKERS, STRANGER),
    "$JS.ACK.RISE_WORK_DEVICE.private-1.1.1.1.1.0": (*_MAKERS, PRIVATE),
    "$JS.ACK.RISE_WORK_PHONES.any.1.1.1.1.0": (*_MAKERS, STRANGER),
    # streams
    "$JS.API.INFO": _ALL,
    "$JS.API.STREAM.CREATE.EVIL": (*_MAKERS, SCHEDULER),
    "$JS.API.STREAM.UPDATE.RISE_WORK_DEVICE": (*_MAKERS, SCHEDULER),
    "$JS.API.STREAM.INFO.RISE_WORK_DEVICE": (*_MAKERS, SCHEDULER),
    "$JS.API.STREAM.INFO.RISE_EVENTS": (*_MAKERS, SCHEDULER),
    "$JS.API.STREAM.PURGE.RISE_WORK_DEVICE": (*_MAKERS, *_FRONT),
    "$JS.API.STREAM.PURGE.KV_rise_results": (*_MAKERS, *_FRONT),
    "$JS.API.STREAM.DELETE.RISE_WORK_DEVICE": _MAKERS,
    "$JS.API.STREAM.MSG.GET.RISE_BLOBS": _MAKERS,
    "$JS.API.STREAM.MSG.GET.KV_rise_jobs": _MAKERS,
    "$JS.API.STREAM.MSG.GET.KV_rise_fences": (*_MAKERS, *_FRONT),
    "$JS.API.STREAM.MSG.DELETE.RISE_WORK_DEVICE": _MAKERS,
    "$JS.API.STREAM.NAMES": _MAKERS,
    "$JS.API.STREAM.LIST": _MAKERS,
    "$JS.API.STREAM.SNAPSHOT.RISE_BLOBS": _MAKERS,
    # administration, and others' answers
    "$JS.API.ACCOUNT.PURGE.RISE": _NOBODY,
    "$JS.API.SERVER.REMOVE": _NOBODY,
    "$JS.API.META.LEADER.STEPDOWN": _NOBODY,
    "$SYS.REQ.SERVER.PING": _NOBODY,
    "$SRV.PING": _NOBODY,
    "_INBOX.operator.0123": _NOBODY,
    "_INBOX.user.0123": _NOBODY,
    "_INBOX.device.device.device-2.0123": _NOBODY,
    "_R_.0123": _NOBODY,
}

_FOLLOWED: Final[dict[str, tuple[Principal, ...]]] = {
    "RISE_WORK_EDGE": _MAKERS,
    "RISE_WORK_DEVICE": _MAKERS,
    "RISE_EVENTS": _READERS,
    "RISE_OUTCOMES": (*_MAKERS, SCHEDULER),
    "RISE_DEAD": _MAKERS,
    "RISE_OFFERS": _MAKERS,
    "RISE_BLOBS": _MAKERS,
    "RISE_CHECKPOINTS": _MAKERS,
    "KV_rise_jobs": _READERS,
    "KV_rise_fences": _MAKERS,
    "KV_rise_results": _READERS,
    "KV_rise_workers": (*_MAKERS, SCHEDULER, *_FRONT),
    "KV_rise_outcasts": (*_MAKERS, SCHEDULER, *_FRONT),
    "KV_rise_scheduler": (*_MAKERS, SCHEDULER),
    "KV_rise_decisions": (*_MAKERS, SCHEDULER, *_FRONT),
    "KV_rise_families": (*_READERS, SCHEDULER),
    "KV_rise_audits": (*_MAKERS, *_FRONT),
    "KV_rise_forgotten": _MAKERS,
}
"""Streams, and who may have a consumer of his own there."""
_OF_A_CONSUMER: Final = (
    "$JS.API.CONSUMER.CREATE.{}.mine",
    "$JS.API.CONSUMER.CREATE.{}.mine.rise.x",
    "$JS.API.CONSUMER.MSG.NEXT.{}.mine",
    "$JS.API.CONSUMER.INFO.{}.mine",
    "$JS.API.CONSUMER.DELETE.{}.mine",
    "$JS.ACK.{}.mine.1.1.1.1.0",
)

_HEARD: Final[dict[str, tuple[Principal, ...]]] = {
    ">": _NOBODY,
    "rise.>": _NOBODY,
    "rise.cancel.*": (EDGE, *_DEVICES),
    "rise.scheduler.configure": (SCHEDULER,),
    "rise.scheduler.policy": (SCHEDULER,),
    "rise.progress.*.*": (USER,),
    "rise.progress.job-1.*": (USER,),
    "rise.work.>": _NOBODY,
    "rise.work.device.any.>": _NOBODY,
    "rise.work.device.device-1.>": _NOBODY,
    "rise.events.>": _NOBODY,
    "rise.offers.>": _NOBODY,
    "rise.offers.device.device-1.>": _NOBODY,
    "rise.blobs.>": _NOBODY,
    "rise.blobs.device.any.>": _NOBODY,
    "rise.checkpoints.>": _NOBODY,
    "rise.dead.>": _NOBODY,
    "rise.outcomes": _NOBODY,
    "$KV.>": _NOBODY,
    "$KV.rise_jobs.>": _NOBODY,
    "$KV.rise_results.*": _NOBODY,
    "$KV.rise_workers.>": _NOBODY,
    "$JS.>": _NOBODY,
    "$JS.API.>": _NOBODY,
    "$JS.EVENT.>": _NOBODY,
    "$JS.ACK.>": _NOBODY,
    "$SYS.>": _NOBODY,
    "$SRV.PING": (SCHEDULER,),
    "_INBOX.>": _NOBODY,
    "_INBOX.operator.>": (OPERATOR,),
    "_INBOX.user.>": (USER,),
    "_INBOX.judge.*": (JUDGE,),
    "_INBOX.auditor.*": (AUDITOR,),
    "_INBOX.scheduler.*": (SCHEDULER,),
    "_INBOX.edge.>": _NOBODY,
    "_INBOX.edge.edge.edge-1.*": (EDGE,),
    "_INBOX.device.>": _NOBODY,
    "_INBOX.device.device.device-1.>": (DEVICE,),
    "_INBOX.device.device.device-2.>": (OTHER,),
    "_INBOX.device.phones.phone-1.>": (STRANGER,),
    "_INBOX.device.device.private-1.>": (PRIVATE,),
    "_R_.>": _NOBODY,
}


def said() -> Iterator[tuple[Principal, str, bool]]:
    """Everybody, each subject, and whether he may publish on it."""
    followed = {shape.format(name): allowed for name, allowed in _FOLLOWED.items() for shape in _OF_A_CONSUMER}
    for subject, allowed in (_SAID | followed).items():
        yield from ((who, subject, who in allowed) for who in EVERYBODY)


def heard() -> Iterator[tuple[Principal, str, bool]]:
    """Everybody, each subject, and whether he may subscribe to it."""
    for subject, allowed in _HEARD.items():
        yield from ((who, subject, who in allowed) for who in EVERYBODY)


def name_of(who: Principal) -> str:
    return who.name or who.role
