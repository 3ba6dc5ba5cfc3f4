"""Configurations and the names of arms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rise_contracts import errors
from rise_contracts.configuration import ArmStage, Configuration, Stage, arm_of, format_arm, parse_arm, wire_of


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("large:20", [("large", 20, None)]),
        ("large:6@1.2+finisher:6", [("large", 6, 1.2), ("finisher", 6, None)]),
        ("a:1@12+b-2:200@0.5+c:3", [("a", 1, 12.0), ("b-2", 200, 0.5), ("c", 3, None)]),
        (" large:6@1.2 + finisher:6 ", [("large", 6, 1.2), ("finisher", 6, None)]),
    ],
)
def test_an_arm_is_read(text: str, stages: list[tuple[str, int, float | None]]) -> None:
    assert parse_arm(text) == tuple(ArmStage(*stage) for stage in stages)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "member:steps"),
        ("large", "member:steps"),
        ("large:0", "1 to 200 steps"),
        ("large:201", "1 to 200 steps"),
        ("large:6+finisher:6", "a handoff sigma on every stage but the last"),
        ("large:6@1.2", "a handoff sigma on every stage but the last"),
        ("large:6@0+finisher:6", "above 0"),
        ("a:1@1+b:1@1+c:1", "fall from stage to stage"),
        ("a:1@1+b:1@2+c:1", "fall from stage to stage"),
        ("Large:6", "member:steps"),
        ("large:6@-1+small:6", "member:steps"),
        ("large:6@nan+small:6", "member:steps"),
        ("large:6@1.2+", "member:steps"),
        ("large:6@1.2+finisher:6~q4", "one of fp32, fp16, bf16, q8 after ~"),
        ("large:6~q8@1.2+finisher:6", "one of fp32"),
    ],
)
def test_a_bad_arm_is_refused_with_what_is_wanted(text: str, wanted: str) -> None:
    with pytest.raises(errors.InvalidInput, match=wanted) as caught:
        parse_arm(text)
    assert caught.value.field == "relay"
    assert caught.value.got == text
    assert "for example large:6@1.2+finisher:6" in str(caught.value)


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
steps = st.integers(1, 200)


@st.composite
def arms(draw: st.DrawFn) -> tuple[ArmStage, ...]:
    sigmas = draw(st.lists(st.floats(1e-3, 1e3), max_size=4, unique=True))
    falling: list[float | None] = [*sorted(sigmas, reverse=True), None]
    return tuple(ArmStage(draw(names), draw(steps), sigma) for sigma in falling)


@given(arms())
def test_a_written_arm_reads_back_as_itself(arm: tuple[ArmStage, ...]) -> None:
    assert parse_arm(format_arm(arm)) == arm


def test_the_dtype_on_the_wire_stands_after_the_stages() -> None:
    text = format_arm([ArmStage("large", 6, 1.2), ArmStage("finisher", 6)], "q8")
    assert text == "large:6@1.2+finisher:6~q8"
    assert (parse_arm(text), wire_of(text)) == (parse_arm("large:6@1.2+finisher:6"), "q8")
    assert wire_of("large:6@1.2+finisher:6") == ""


@given(st.text(max_size=40))
def test_any_text_is_an_arm_or_an_invalid_input(text: str) -> None:
    try:
        arm = parse_arm(text)
    except errors.InvalidInput:
        return
    assert parse_arm(format_arm(arm)) == arm


def stage(index: int, start: float | None, end: float, **more: object) -> Stage:
    fields = {"member": "large", "tier": "edge", "pool": "edge", "steps": 6, **more}
    return Stage.model_validate({"index": index, "sigma_from": start, "sigma_to": end, **fields})


def test_the_arm_of_a_configuration_says_what_is_computed_and_not_where() -> None:
    stages = (stage(0, None, 1.2), stage(1, 1.2, 0.0, member="finisher", tier="device", pool="p2", worker="d-7"))
    assert arm_of(Configuration(arm="x", stages=stages)) == "large:6@1.2+finisher:6"
    assert arm_of(Configuration(arm="x", stages=(stage(0, None, 0.0),))) == "large:6"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least 1"),
        ([stage(1, None, 0.0)], "numbered 0, 1, 2"),
        ([stage(0, 3.0, 0.0)], "its sigma_from must be None"),
        ([stage(0, None, 1.0)], "must end at sigma 0"),
        ([stage(0, None, 1.0), stage(1, 2.0, 0.0)], "must start at the sigma > 0 at which stage 0 ends"),
        ([stage(0, None, 0.0), stage(1, 0.0, 0.0)], "must start at the sigma > 0"),
        ([stage(0, None, 1.0), stage(1, 1.0, 1.0), stage(2, 1.0, 0.0)], "sigma must fall"),
        ([stage(0, None, 1.0), stage(1, None, 0.0)], "must start at the sigma > 0"),
    ],
)
def test_stages_that_do_not_join_are_refused(stages: list[Stage], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Configuration(arm="x", stages=tuple(stages))


@pytest.mark.parametrize("sigma", [float("nan"), float("inf"), -1.0])
def test_a_noise_level_is_a_finite_number_that_is_not_negative(sigma: float) -> None:
    with pytest.raises(ValidationError):
        stage(0, None, sigma)
