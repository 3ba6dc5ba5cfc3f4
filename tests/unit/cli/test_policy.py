"""The policy as a table, and its decisions as a picture."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from rise_cli import decision_log, policy, policy_plot
from rise_cli.decision_log import Point
from rise_contracts import errors
from rise_contracts.reports import ArmReport, FamilyReport, PolicyReport, SlownessReport
from tests.unit.cli.decisions import ARM, candidate, outcome, record
from tests.unit.cli.test_audit_rules import audit_of


def report(**changes: Any) -> PolicyReport:
    """One family with two arms, of which one was tried."""
    values: dict[str, Any] = {
        "family": "tiny",
        "outcomes": 12,
        "reference_s": 2.0,
        "chosen": ARM,
        "propensity": 1.0,
        "price": 0.125,
        "slowness": (
            SlownessReport(what="edge/large", factor=1.31, deviation=0.05),
            SlownessReport(what="rest/relay", factor=0.02, deviation=0.01),
        ),
        "arms": (
            ArmReport(seen=candidate("large:24", 0.2)),
            ArmReport(seen=candidate(), outcomes=12, quality=0.75),
        ),
    }
    family = FamilyReport.model_validate(values | changes)
    return PolicyReport(at=0.0, policy="composed", families=(family,))


def test_the_table_shows_what_was_learned_of_each_arm(capsys: pytest.CaptureFixture[str]) -> None:
    policy.tell(report())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "policy composed",
        "family tiny, 12 outcomes, reference 2.00 s",
        "price 0.125 per reference latency of edge work",
        f"now an ordinary job gets {ARM}",
    ]
    assert lines[5] == f"→ {ARM} 12 0.75 1.20 s 600 ms + 120 ms 600 ms 0.80 0.400 0.150 0.050 0.500"
    assert lines[6].startswith("large:24 0 1.20 s")
    assert "edge/large 1.310 times the predicted 0.050" in lines
    assert "rest/relay +0.020 of the reference 0.010" in lines


def test_a_family_that_cannot_run_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    policy.tell(report(chosen="", propensity=None, waits="no edge worker is ready", price=None, slowness=()))
    text = capsys.readouterr().out
    assert "now      no edge worker is ready" in text
    assert "price" not in text.lower().split("arm")[0]
    assert "LEARNED" not in text


def test_without_a_family_the_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    policy.tell(PolicyReport(at=0.0, policy="fixed"))
    assert "no family is known yet" in capsys.readouterr().out


def test_audits_are_shown_by_arm_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    audits = [audit_of(ARM, 0.9), audit_of(ARM, 0.96), audit_of("small:8", 0.5), audit_of(ARM, 0.1, "another")]
    told = policy.with_audits(report(), audits)
    assert [(each.arm, each.n) for each in told.audits] == [(ARM, 2), ("small:8", 1)]
    policy.tell(told, told.audits)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        "AUDITED FIDELITY ± AUDITS HELD AGAINST",
        f"{ARM} 0.930 0.042 2 large:24",
        "small:8 0.500 1 large:24",
    ]
    policy.tell(report())
    assert "FIDELITY" not in capsys.readouterr().out


def test_one_family_may_be_asked_for_by_name() -> None:
    assert policy.only(report(), None) == report()
    assert policy.only(report(), "tiny") == report()
    with pytest.raises(errors.UnknownName, match="did you mean 'tiny'"):
        policy.only(report(), "tinny")


def points(count: int, **changes: Any) -> list[Point]:
    """Decisions a minute apart over many arms, with outcomes."""
    ended = record(candidate(), candidate("large:24", 0.6), outcome=outcome(1.45, quality=0.9), **changes)
    first = decision_log.point(ended)
    kinds = ("relay", "edge-only", "device-only")
    return [
        replace(first, at=1000.0 + 60 * n, arm=f"large:{n % 20 + 1}", kind=kinds[n % 3], failed=n % 11 == 0)
        for n in range(count)
    ]


def read(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    assert picture.format == "PNG"
    return picture.convert("RGB")


def colours(picture: Image.Image) -> set[tuple[int, int, int]]:
    return {pixel for _, pixel in picture.getcolors(1 << 24) or ()}  # type: ignore[misc]


@pytest.mark.parametrize("count", [1, 2, 40, 2000])
def test_any_number_of_decisions_makes_a_picture(count: int) -> None:
    picture = read(policy.drawn(points(count)))
    assert picture.width == 1440
    assert 700 < picture.height < 1500


def test_what_is_drawn_depends_on_what_was_decided() -> None:
    many, late = points(40), [replace(each, observed_s=5.0) for each in points(40)]
    assert policy.drawn(many) == policy.drawn(many)
    assert policy.drawn(many) != policy.drawn(late)
    assert len(colours(read(policy.drawn(many)))) > len(colours(read(policy.drawn(points(1)))))


def test_a_policy_that_ranks_nothing_and_jobs_that_run_still_make_a_picture() -> None:
    plain = [replace(each, observed_s=None, best_mean=None, chosen_mean=None, utility=None) for each in points(5)]
    read(policy_plot.draw(plain))


def test_without_a_decision_there_is_no_picture_but_a_word_what_to_do() -> None:
    with pytest.raises(errors.NotFound, match="rise run"):
        policy.drawn([])


def test_arms_beyond_a_screenful_share_a_line() -> None:
    names = [(f"large:{number}", 100 - number) for number in range(20)]
    labels = policy_plot._labels(names, sum(count for _, count in names))
    assert len(labels) == policy_plot.MOST_ARMS + 1
    assert labels[-1].startswith("6 other arms")
    assert policy_plot._labels([("a", 1), ("b", 999)], 1000)[0].endswith("<1%")
