from __future__ import annotations

import pytest

from rise_contracts import codec
from rise_contracts.audits import key_of
from rise_contracts.decisions import Candidate, DecisionRecord
from rise_contracts.errors import Busy, InvalidInput, UnknownName
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy, Policy
from tests.unit.scheduler.builders import decided, family, fixed, fleet, question, worker

HEAD = {"member": "large", "steps": 6, "untilSigma": 1.2}
TAIL = {"member": "finisher", "steps": 6}


def masks(record: DecisionRecord) -> dict[str, str]:
    return {view.arm: view.masked for view in record.candidates if view.masked}


def test_the_answer_is_a_whole_configuration() -> None:
    configuration = decided(question(preference=1.0)).decision.configuration
    head, tail = configuration.stages
    assert (head.member, head.tier, head.pool, head.worker, head.steps) == ("large", "edge", "edge", None, 6)
    assert (head.sigma_from, head.sigma_to) == (None, 1.2)
    assert (tail.member, tail.tier, tail.sigma_from, tail.sigma_to) == ("finisher", "device", 1.2, 0.0)
    assert configuration.arm == "large:6@1.2+finisher:6"


def test_the_job_s_solver_dtype_and_guidance_come_before_the_relay_s_and_the_family_s() -> None:
    asked = question(preference=0.0, guidanceScale=3.0, relay={"solver": "ddim", "wireDtype": "fp32"})
    configuration = decided(asked).decision.configuration
    assert (configuration.solver, configuration.wire_dtype) == ("ddim", "fp32")
    assert {stage.guidance for stage in configuration.stages} == {3.0}
    plain = decided(question(preference=0.0)).decision.configuration
    assert (plain.solver, plain.wire_dtype) == ("euler", "q8")
    assert {stage.guidance for stage in plain.stages} == {1.0}


def test_predictions_come_with_it_by_stage() -> None:
    predictions = decided(question(preference=1.0, images=2)).decision.predictions
    assert predictions.stage_seconds == pytest.approx((1.2, 0.24))
    assert predictions.edge_s == pytest.approx(1.2)
    assert predictions.latency_s is not None
    assert 1.44 < predictions.latency_s < 1.46


def test_the_log_holds_every_arm_and_reads_back() -> None:
    record = decided(among=fleet(worker()))
    assert len(record.candidates) == 7
    assert codec.decode(DecisionRecord, codec.encode(record)) == record


def test_without_devices_relays_and_device_only_are_masked_and_the_edge_does_it_alone() -> None:
    record = decided(among=fleet(worker()))
    assert record.decision.arm == "large:20"
    assert set(masks(record).values()) == {"no device worker is ready"}
    assert set(masks(record)) == {"large:6@1.2+finisher:6", "large:3@1.5+finisher:6~q8", "small:20", "small:10"}


def test_without_edge_workers_a_device_does_it_alone() -> None:
    record = decided(among=fleet(worker("d0", "device")))
    assert record.decision.arm == "small:20"
    assert "no edge worker is ready" in masks(record).values()


def test_without_workers_the_refusal_says_what_is_missing_and_is_worth_trying_again() -> None:
    with pytest.raises(Busy, match="no edge worker is ready; no device worker is ready; start workers") as caught:
        decided(among=fleet(worker(ready=False)))
    assert caught.value.retriable
    assert "rise-shapes" in str(caught.value)


def test_an_arm_that_needs_loading_waits_while_another_needs_none() -> None:
    no_finisher = worker("d0", "device", members=("small",))
    record = decided(among=fleet(worker(), no_finisher))
    assert record.decision.arm == "large:20"
    reason = "no worker has finisher loaded; loading takes about 0.2 s"
    assert masks(record)["large:6@1.2+finisher:6"] == reason


def test_a_policy_that_weighs_seconds_is_asked_about_it_while_loading_is_no_longer_than_a_picture() -> None:
    def masked(seconds: float, policy: Policy, **changes: object) -> str:
        loads = {"finisher": seconds}
        device = worker("d0", "device", members=("small",), load_seconds=loads, **changes)
        return masks(decided(among=fleet(worker(), device), policy=policy)).get("large:6@1.2+finisher:6", "")

    assert masked(1.9, ComposedPolicy()) == ""
    assert masked(2.1, ComposedPolicy()) == "no worker has finisher loaded; loading takes about 2.1 s"
    unmeasured = masked(0.1, ComposedPolicy(), seconds_per_step={"small": 0.02})
    assert unmeasured == "no worker has finisher loaded, or a step of every member measured"
    for policy in (FixedPolicy(), LinUcbPolicy()):
        assert masked(0.1, policy).startswith("no worker has finisher loaded")


def test_what_has_to_be_loaded_costs_its_seconds_and_the_log_says_so() -> None:
    def candidate(**changes: object) -> Candidate:
        device = worker("d0", "device", load_seconds={"finisher": 1.5}, **changes)
        record = decided(among=fleet(worker(), device), policy=ComposedPolicy())
        return next(item for item in record.candidates if item.arm == "large:6@1.2+finisher:6")

    warm, cold = candidate(), candidate(members=("small",))
    assert (warm.predictions.load_s, cold.predictions.load_s) == (0.0, 1.5)
    assert (cold.predictions.latency_s or 0.0) == pytest.approx((warm.predictions.latency_s or 0.0) + 1.5)
    assert (cold.mean or 0.0) < (warm.mean or 0.0)


def test_with_nothing_loaded_everything_may_run() -> None:
    record = decided(question(preference=1.0), among=fleet(worker(members=()), worker("d0", "device", members=())))
    assert record.decision.arm == "large:6@1.2+finisher:6"
    assert not masks(record)


def test_a_bound_job_goes_to_its_own_device_and_falls_back_to_the_edge() -> None:
    devices = (worker("d0", "device", labels={"owner": "ada"}), worker("d1", "device"))
    mine = decided(question(deviceSelector={"owner": "ada"}), among=fleet(worker(), *devices))
    assert mine.decision.configuration.stages[-1].worker == "d0"
    gone = decided(question(deviceSelector={"owner": "eve"}), among=fleet(worker(), *devices))
    assert gone.decision.arm == "large:20"
    assert "no device worker has the labels owner=eve" in masks(gone).values()


def test_a_worker_that_just_failed_the_job_is_passed_over() -> None:
    workers = fleet(worker("e0"), worker("e1"), worker("d0", "device"))
    stages = decided(question(avoid=("e0",)), among=workers).decision.configuration.stages
    assert [stage.worker for stage in stages] == ["e1", None]


def test_stated_steps_scale_the_relay_and_nothing_is_learned_from_a_run_that_is_no_arm() -> None:
    record = decided(question(steps=10, preference=1.0))
    assert record.decision.arm == "large:3@1.2+finisher:3"
    assert record.learns == ""
    assert decided(question(preference=1.0)).learns == "large:6@1.2+finisher:6"


def test_a_fixed_job_passes_the_policy_by_and_is_learned_from_if_it_is_an_arm() -> None:
    asked = question(relay=fixed(HEAD, TAIL), preference=0.0)
    record = decided(asked, policy=LinUcbPolicy())
    assert (record.decision.policy, record.decision.arm) == ("job", "large:6@1.2+finisher:6")
    assert record.decision.propensity == 1.0
    assert record.learns == "large:6@1.2+finisher:6"
    assert len(record.candidates) == 1
    assert decided(question(relay=fixed(HEAD | {"steps": 7}, TAIL))).learns == ""


def test_an_audit_is_no_sample_of_the_arm_that_it_runs() -> None:
    alone = fixed({"member": "large", "steps": 20})
    assert decided(question(relay=alone)).learns == "large:20"
    assert decided(question(relay=alone, idempotencyKey=key_of("job-1"))).learns == ""


def test_a_fixed_job_may_move_to_the_other_tier_unless_it_names_one() -> None:
    only_edge = fleet(worker())
    moved = decided(question(relay=fixed(HEAD, TAIL)), among=only_edge)
    assert [stage.tier for stage in moved.decision.configuration.stages] == ["edge", "edge"]
    with pytest.raises(Busy, match="no device worker is ready"):
        decided(question(relay=fixed(HEAD, TAIL | {"tier": "device"})), among=only_edge)


def test_a_fixed_job_that_can_never_run_is_refused_for_good() -> None:
    with pytest.raises(UnknownName) as unknown:
        decided(question(relay=fixed({"member": "lage", "steps": 3})))
    assert not unknown.value.retriable
    with pytest.raises(InvalidInput) as noisy:
        decided(question(relay=fixed(HEAD | {"untilSigma": 9.0}, TAIL)))
    assert not noisy.value.retriable


def test_the_reference_is_the_base_member_s_whole_run() -> None:
    assert decided().reference_s == pytest.approx(2.0)
    assert decided(among=fleet(worker(seconds_per_step={}), worker("d0", "device"))).reference_s is None
    assert decided(among=fleet(worker("d0", "device"))).reference_s is None


def test_the_context_and_the_time_waited_are_in_the_log() -> None:
    record = decided(question(preference=0.25), at=1030.0)
    assert record.waited_s == pytest.approx(30.0)
    assert record.decision.context["preference"] == 0.25
    assert set(record.decision.context) == {
        "bias",
        "complexity",
        "preference",
        "log_bandwidth",
        "edge_load",
        "device_load",
    }
    assert decided(at=900.0).waited_s == 0.0


def test_a_family_that_one_worker_can_serve_alone() -> None:
    single = family(members=[{"name": "only", "tier": "edge"}], relays=[])
    record = decided(of=single, among=fleet(worker(members=("only",), seconds_per_step={})))
    assert record.decision.arm == "only:20"
    assert record.decision.predictions.latency_s is None


def test_the_same_question_gets_the_same_answer() -> None:
    policy = LinUcbPolicy(epsilon=0.5)
    assert decided(policy=policy) == decided(policy=policy)
