"""Which jobs are audited, when, and by what job."""

from __future__ import annotations

from typing import Any

import pytest

from rise_cli import audit, audit_rules
from rise_contracts import messages, resources
from rise_contracts.audits import Audit, is_audit, key_of
from tests.unit.cli import builders

MEMBERS: list[dict[str, Any]] = [
    {"name": "small", "parameters": 100, "defaultSteps": 8, "tier": "device"},
    {"name": "large", "parameters": 1000, "defaultSteps": 24, "tier": "edge"},
    {"name": "larger", "parameters": 9000, "defaultSteps": 9, "tier": "edge", "sigmaMax": 1.5},
]


def family(*members: dict[str, Any]) -> resources.ModelFamily:
    spec = {"base": {"path": "."}, "members": list(members or MEMBERS)}
    return resources.ModelFamily.model_validate({"metadata": {"name": "tiny"}, "spec": spec})


def base() -> resources.Member:
    found = audit_rules.base_member(family())
    assert found is not None
    return found


def beat(name: str = "edge-1", **changes: Any) -> messages.Heartbeat:
    values: dict[str, Any] = {"worker": name, "tier": "edge", "pool": "edge", "pid": 1, "at": 0.0}
    return messages.Heartbeat.model_validate(values | changes)


def request(**spec: Any) -> messages.JobRequest:
    wanted = resources.RelayJobSpec.model_validate({"prompt": "a red circle", **spec})
    return messages.JobRequest(job_id="job-1", spec=wanted, seed=77, accepted_at=100.0)


def audit_of(arm: str, fidelity: float, family: str = "tiny") -> Audit:
    return Audit(
        job_id="job-1",
        decision_id="d1",
        family=family,
        arm=arm,
        base_arm="large:24",
        fidelity=fidelity,
        pictures=(fidelity,),
        edge_s=1.0,
        at=0.0,
    )


def test_the_sample_is_of_the_share_and_the_same_for_everybody() -> None:
    jobs = [f"job-{number:x}" for number in range(20_000)]
    sample = [job for job in jobs if audit_rules.is_sampled(job, 0.02)]
    assert 320 <= len(sample) <= 480  # 400, and four deviations of 20
    assert sample == [job for job in jobs if audit_rules.is_sampled(job, 0.02)]
    assert set(sample) < {job for job in jobs if audit_rules.is_sampled(job, 0.2)}


def test_a_share_of_all_and_of_none() -> None:
    assert all(audit_rules.is_sampled(f"job-{number}", 1.0) for number in range(1000))
    assert not any(audit_rules.is_sampled(f"job-{number}", 0.0) for number in range(1000))


def test_the_base_member_is_the_largest_of_the_edge_that_takes_all_noise_levels() -> None:
    assert audit_rules.base_arm(base()) == "large:24"
    only_device = audit_rules.base_member(family(MEMBERS[0], MEMBERS[2]))
    assert only_device is not None and (only_device.name, only_device.tier) == ("small", "device")
    assert audit_rules.base_member(family(MEMBERS[2])) is None


def test_a_relay_is_audited() -> None:
    assert audit_rules.exemption(builders.record(), builders.done(), base()) == ""


def test_what_is_not_audited_says_why() -> None:
    record, done = builders.record(), builders.done()
    alone = done.model_copy(update={"stages": done.stages[:1]})
    assert audit_rules.exemption(record, alone, base()) == "the base member made it alone"
    itself = builders.record(request=request(idempotencyKey=key_of("job-0")))
    assert audit_rules.exemption(itself, done, base()) == "it is an audit itself"
    assert "no member" in audit_rules.exemption(record, done, None)
    assert "attempt" in audit_rules.exemption(record, builders.done(attempt=2), base())
    assert "attempt" in audit_rules.exemption(builders.record(decision=None), done, base())


def test_the_audit_draws_the_same_picture_from_the_same_noise() -> None:
    fields = {
        "family": "tiny",
        "negativePrompt": "blue",
        "width": 128,
        "height": 96,
        "images": 3,
        "guidanceScale": 4.5,
        "preference": 0.9,
    }
    spec = audit_rules.spec_of(request(**fields, steps=8, backoffLimit=5, idempotencyKey="mine"), base())
    told = spec.model_dump(by_alias=True)
    assert {name: told[name] for name in fields} == fields
    assert (spec.prompt, spec.seed, spec.backoff_limit) == ("a red circle", 77, 0)
    assert spec.relay.mode == "Fixed" and spec.steps is None
    (stage,) = spec.relay.stages
    assert (stage.member, stage.tier, stage.steps) == ("large", "edge", 24)
    assert is_audit(spec) and not is_audit(request().spec)


def test_an_audit_is_asked_for_in_the_same_words_every_time() -> None:
    assert audit_rules.spec_of(request(), base()) == audit_rules.spec_of(request(), base())


def test_a_job_id_of_any_length_gives_a_key_that_is_accepted() -> None:
    long = request().model_copy(update={"job_id": "j" * 63})
    assert audit_rules.spec_of(long, base()).idempotency_key == key_of("j" * 63)


@pytest.mark.parametrize(
    ("workers", "idle"),
    [
        ([beat()], True),
        ([], False),
        ([beat(ready=False)], False),
        ([beat(busy_jobs=("job-1",))], False),
        ([beat(queue_depth=1)], False),
        ([beat(), beat("edge-2", busy_jobs=("job-1",))], False),
        ([beat(), beat("device-1", tier="device", pool="device", busy_jobs=("job-1",))], True),
        ([beat(), beat("own-1", dedicated="job-1", busy_jobs=("job-1",))], True),
        ([beat("own-1", dedicated="job-1")], False),
        ([beat(families=("other",))], False),
        ([beat(families=("other", "tiny"))], True),
        ([beat(), beat("edge-2", families=("other",), busy_jobs=("job-1",))], False),
    ],
)
def test_the_edge_is_idle_when_nobody_there_has_work_or_sees_any(workers: list[messages.Heartbeat], idle: bool) -> None:
    assert audit_rules.is_idle(workers, "edge", "tiny") is idle


def test_idleness_counts_from_the_last_work() -> None:
    since = None
    for now, idle, wanted in ((1.0, True, 1.0), (2.0, True, 1.0), (3.0, False, None), (4.0, True, 4.0)):
        since = audit_rules.idle_since(since, idle, now)
        assert since == wanted


def test_audits_are_summed_up_by_arm_the_nearest_first() -> None:
    relay, small = "large:3@1.8+finisher:6", "small:8"
    found = audit_rules.by_arm(
        [audit_of(small, 0.5), audit_of(relay, 0.9), audit_of(relay, 1.0), audit_of(relay, 0.7, "another")]
    )
    assert [(each.family, each.arm, each.n) for each in found] == [
        ("another", relay, 1),
        ("tiny", relay, 2),
        ("tiny", small, 1),
    ]
    assert found[1].mean == pytest.approx(0.95)
    assert found[1].deviation == pytest.approx(0.0707, abs=1e-4)
    assert found[2].deviation is None
    assert audit_rules.by_arm([]) == ()


def test_the_command_line_says_the_settings() -> None:
    assert audit.settings_from([]) == audit.Settings(0.02, 5.0, 900.0, teach=False)
    given = ["--share", "0.5", "--idle", "2", "--patience", "60", "--teach"]
    assert audit.settings_from(given) == audit.Settings(0.5, 2.0, 60.0, teach=True)


@pytest.mark.parametrize("share", ["1.1", "-0.1", "nan", "much"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        audit.settings_from([f"--share={share}"])
    assert "--share" in capsys.readouterr().err
