"""What `rise policy` does: asks the scheduler how it chooses now, and draws the decisions that it has made.

What audits say of the arms stands beside it: that is measured by another process, and the scheduler may not know it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rise_cli import audit_rules, explaining, outputs, sessions, tables, view
from rise_cli.decision_log import Point, point
from rise_contracts import codec, errors, subjects
from rise_contracts.audits import ArmFidelity, Audit
from rise_contracts.decisions import DecisionRecord
from rise_contracts.reports import ArmReport, AskPolicy, FamilyReport, PolicyReport
from rise_runtime import services
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus

FIDELITY = ("AUDITED", "FIDELITY", "±", "AUDITS", "HELD AGAINST")
COLUMNS = ("", "ARM", "OUTCOMES", "MEASURED", *explaining.RANKED[2:])


class Told(PolicyReport):
    """The scheduler's report, and the audits of the families in it."""

    audits: tuple[ArmFidelity, ...] = ()


async def show(png: Path | None, family: str | None, nats: str | None, *, as_json: bool) -> None:
    """Print the policy; with `png` draw the log of decisions, of one family or of all."""
    if png is not None:
        outputs.prepare(png.parent)
    async with sessions.connected(sessions.server_from(nats, os.environ)) as bus:
        report = await services.ask(bus, subjects.POLICY, AskPolicy(), PolicyReport, timeout=10.0)
        told = with_audits(only(report, family), await read_audits(bus))
        points = await read_log(bus, {each.family for each in told.families}) if png is not None else []
    if as_json:
        print(told.model_dump_json(indent=2))
    else:
        tell(told, told.audits)
    if png is not None:
        written = outputs.write(png, drawn(points))
        if not as_json:
            print(f"{'plot':<9}{written}")


def only(told: PolicyReport, family: str | None) -> PolicyReport:
    """The report on one family, or on all. Raises UnknownName."""
    if family is None:
        return told
    kept = tuple(each for each in told.families if each.family == family)
    if not kept:
        raise errors.UnknownName("family", family, [each.family for each in told.families], "--family")
    return told.model_copy(update={"families": kept})


def with_audits(told: PolicyReport, audits: Sequence[Audit]) -> Told:
    """The report with what audits say of its families."""
    families = {each.family for each in told.families}
    fidelity = audit_rules.by_arm([audit for audit in audits if audit.family in families])
    return Told(**dict(told), audits=fidelity)


async def read_audits(bus: Bus) -> list[Audit]:
    """Every audit that is kept."""
    entries = await Bucket(bus, subjects.KV_AUDITS).entries()
    return [codec.decode(Audit, entry.value) for entry in entries if entry.value is not None]


async def read_log(bus: Bus, families: set[str]) -> list[Point]:
    """Every decision that the log still has on these families, in the order of time."""
    points = []
    async for entry in Bucket(bus, subjects.KV_DECISIONS).watch():
        if entry is None:
            break
        if entry.value is not None:
            record = codec.decode(DecisionRecord, entry.value)
            if record.family in families:
                points.append(point(record))
    return sorted(points, key=lambda each: each.at)


def drawn(points: list[Point]) -> bytes:
    """The picture. Raises NotFound where there is no decision to draw."""
    if not points:
        raise errors.NotFound(
            "decision", "any", 'none was made in the last days; make one with: rise run "a red circle"'
        )
    from rise_cli import policy_plot

    return policy_plot.draw(points)


def tell(told: PolicyReport, audits: Sequence[ArmFidelity] = ()) -> None:
    """The report as lines and tables."""
    print(f"{'policy':<9}{told.policy}")
    if not told.families:
        print("no family is known yet; workers make theirs known as they start")
    for family in told.families:
        for label, text in _lines(family):
            print(f"{label:<9}{text}")
        by_arm = {arm.seen.arm: arm for arm in family.arms}
        ranked = explaining.ranked([arm.seen for arm in family.arms])
        tables.show(view.table(COLUMNS, [_row(by_arm[seen.arm], family.chosen) for seen in ranked]))
        if family.slowness:
            tables.show(view.table(("LEARNED", "FACTOR", "±"), _slowness(family)))
        audited = [_audited(each) for each in audits if each.family == family.family]
        if audited:
            tables.show(view.table(FIDELITY, audited))


def _lines(family: FamilyReport) -> Iterator[tuple[str, str]]:
    reference = "" if family.reference_s is None else f", reference {view.seconds(family.reference_s)}"
    yield "family", f"{family.family}, {family.outcomes} outcomes{reference}"
    if family.price is not None:
        yield "price", f"{family.price:.3f} per reference latency of edge work"
    yield "now", family.waits or f"an ordinary job gets {family.chosen}"


def _row(arm: ArmReport, chosen: str) -> tuple[str, ...]:
    mark, name, *rest = explaining.row(arm.seen, chosen)
    return (mark, name, str(arm.outcomes), explaining.number(arm.quality, 2), *rest)


def _slowness(family: FamilyReport) -> Iterator[tuple[str, ...]]:
    for each in family.slowness:
        share = each.what.startswith("rest/")
        factor = f"{each.factor:+.3f} of the reference" if share else f"{each.factor:.3f} times the predicted"
        yield each.what, factor, f"{each.deviation:.3f}"


def _audited(each: ArmFidelity) -> tuple[str, ...]:
    return each.arm, f"{each.mean:.3f}", explaining.number(each.deviation), str(each.n), each.base_arm
