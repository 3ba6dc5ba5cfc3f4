"""What the operator does when parts of the platform, or it itself, are away, frozen or late."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from rise_stage.smoke import RELAY
from tests.bus.runtime import small
from tests.cluster.rise import Operator, Rise, condition, job, job_id
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import until
from tests.kube.slow_api import SlowApi

LEASE = "--lease-seconds=10"
FAILOVER_S = 15.0


@pytest.fixture(scope="module")
def own_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane whose API server may be held still."""
    plane = ControlPlane(tmp_path_factory.mktemp("faults"))
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


@pytest.fixture
def rise(own_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rise]:
    """A platform with an edge and a device worker, without an operator."""
    folder = tmp_path_factory.mktemp("rise")
    rise = Rise(own_control_plane, folder, f"faults-{folder.name[-8:].strip('-')}")
    try:
        rise.start()
        rise.worker("edge-1")
        rise.worker("device-1")
        yield rise
    finally:
        rise.kubectl.run("delete", "relayjobs", "--all", "--wait=false")
        rise.close()


RELAYED = RELAY.model_dump(mode="json", by_alias=True, exclude_none=True)
"""Where the bus was away: whichever worker finds it first, the job waits for both, and so has the one picture."""


def holder(rise: Rise) -> str:
    return str(rise.kubectl.get("lease", "rise-operator")["spec"].get("holderIdentity", ""))


def leads(rise: Rise, operator: Operator, seconds: float = 30.0) -> float:
    """Seconds until it does."""
    began = time.monotonic()
    until(lambda: holder(rise), lambda name: name == operator.name, seconds, f"{operator.name} leads")
    return time.monotonic() - began


def complete(rise: Rise, name: str, seconds: float = 60.0) -> None:
    """Complete, once, with the one picture that the job has."""
    seen = rise.until(name, "Complete", seconds=seconds)
    assert condition(seen, "Failed") is None
    assert rise.result(job_id(seen)).images == (small.expected(7),)
    assert seen["status"]["attempt"] == 1


def decisions(rise: Rise, identity: str) -> int:
    """How often the scheduler chose for a job."""
    return rise.scheduler.log.read_text().count(f"job {identity} attempt")


def test_a_standby_takes_over_within_fifteen_seconds_of_the_leaders_death(rise: Rise) -> None:
    first = rise.operator("operator-a", LEASE)
    leads(rise, first)
    second = rise.operator("operator-b", LEASE)
    hold = rise.hold(1)
    rise.submit("running")
    rise.held(job_id(rise.until("running", "Scheduled")))

    first.process.kill()
    rise.submit("new")
    assert leads(rise, second) <= FAILOVER_S
    hold.unlink()

    complete(rise, "running")
    complete(rise, "new")
    assert [decisions(rise, record.job_id) for record in rise.records()] == [1, 1]


def test_a_leader_that_was_frozen_does_nothing_when_it_wakes(rise: Rise) -> None:
    first = rise.operator("operator-a", LEASE)
    leads(rise, first)
    second = rise.operator("operator-b", LEASE)
    first.process.signal(signal.SIGSTOP)
    names = [f"job-{number}" for number in range(5)]
    for name in names:
        rise.submit(name)
    assert leads(rise, second) <= FAILOVER_S
    first.process.signal(signal.SIGCONT)
    for name in names:
        complete(rise, name)

    first.process.wait_until(lambda: not first.process.running, 30, "end, for it leads no more")
    assert "is not the leader" in first.process.tail()
    assert [decisions(rise, record.job_id) for record in rise.records()] == [1] * 5
    assert holder(rise) == "operator-b"
    assert [rise.events(name).count("Completed") for name in names] == [1] * 5


def renewed_at(rise: Rise) -> datetime:
    return datetime.fromisoformat(rise.kubectl.get("lease", "rise-operator")["spec"]["renewTime"])


def test_hundreds_of_writes_that_wait_cost_no_leadership(rise: Rise) -> None:
    """An operator whose every connection is taken by a write that the API server is slow to take."""
    jobs, connections = 48, 32
    slow = SlowApi(rise.kubeconfig).start()
    try:
        rise.kubeconfig = slow.kubeconfig
        operator = rise.operator("operator-a", LEASE, f"--workers={jobs}")
        leads(rise, operator)
        slow.hold_writes()
        rise.kubectl.apply(*[job(f"job-{number}") for number in range(jobs)])
        until(lambda: slow.waiting, lambda waiting: waiting >= connections, 30, "no connection left")
        began = renewed_at(rise)
        until(lambda: renewed_at(rise), lambda last: (last - began).total_seconds() > 15, 30, "it goes on leading")
        slow.let_go()
        for number in range(jobs):
            complete(rise, f"job-{number}")
    finally:
        slow.close()
    assert operator.process.running
    assert rise.kubectl.get("lease", "rise-operator")["spec"]["leaseTransitions"] == 0
    assert [decisions(rise, record.job_id) for record in rise.records()] == [1] * jobs
    assert operator.process.log.read_text().count("was not renewed") == 0


class JustStarted(SlowApi):
    """An API server that grants nothing yet, as for a moment after its start; leases apart. `refused` counts."""

    refused, grants = 0, False

    async def admit(self, request: web.Request, body: bytes) -> None:
        if not self.grants and "/leases" not in request.path:
            self.refused += 1
            raise web.HTTPForbidden(text="forbidden: no RBAC policy matched")


def test_a_leader_waits_for_its_rights_at_an_api_server_that_has_just_started(rise: Rise) -> None:
    api = JustStarted(rise.kubeconfig)
    api.start()
    try:
        rise.kubeconfig = api.kubeconfig
        operator = rise.operator("operator-a", LEASE)
        leads(rise, operator)
        until(lambda: api.refused, lambda count: count > 2, 30, "refused a few times")
        api.grants = True
        rise.submit("patient")
        complete(rise, "patient")
    finally:
        api.close()
    assert operator.process.running
    assert "the right to list" in operator.process.tail()


def test_what_happened_while_no_operator_was_there_is_made_good(rise: Rise) -> None:
    first = rise.operator("operator-a", LEASE)
    leads(rise, first)
    hold = rise.hold(0)
    gone = job_id(rise.until(rise.submit("gone"), "Scheduled"))
    asleep = job_id(rise.until(rise.submit("asleep"), "Scheduled"))
    first.process.kill()

    rise.kubectl.delete("relayjob", "gone")
    rise.kubectl.run("patch", "rj", "asleep", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    rise.submit("late")
    rise.operator("operator-b", LEASE)

    rise.until("asleep", "Suspended")
    hold.unlink()
    complete(rise, "late")
    until(rise.records, lambda found: gone not in {record.job_id for record in found}, 30, "the record gone")
    assert {record.job_id: record.state for record in rise.records()}[asleep] == "Suspended"


def test_a_job_that_no_operator_came_to_in_time_is_late(rise: Rise) -> None:
    """Its time to start counts from its creation, and not from when somebody looked at it."""
    rise.submit("late", startDeadlineSeconds=2)
    rise.submit("patient", startDeadlineSeconds=600)
    made = datetime.fromisoformat(rise.job("late")["metadata"]["creationTimestamp"])
    until(lambda: datetime.now(UTC) - made, lambda age: age > timedelta(seconds=3), 10, "too late")
    rise.operator("operator-a", LEASE)
    failed = condition(rise.until("late", "Failed"), "Failed")
    assert failed is not None and failed["reason"] == "StartDeadlineExceeded"
    complete(rise, "patient")


def test_without_a_scheduler_jobs_wait_with_a_reason_and_then_run(rise: Rise) -> None:
    rise.operator("operator-a", LEASE)
    rise.scheduler.kill()
    rise.submit("patient")
    waiting = rise.until("patient", "Scheduled", "SchedulerAway")
    assert "no scheduler answers" in str(condition(waiting, "Scheduled"))
    rise.scheduler.start()
    complete(rise, "patient")


def test_running_jobs_finish_while_the_api_server_is_away_and_their_status_catches_up(
    rise: Rise, own_control_plane: ControlPlane
) -> None:
    rise.operator("operator-a", LEASE, "--resync-seconds=5")
    hold = rise.hold(0)
    identity = job_id(rise.until(rise.submit("under-way"), "Scheduled"))
    rise.held(identity)
    own_control_plane.pause_api()
    try:
        hold.unlink()
        until(rise.records, lambda found: found[0].finished, 30, "the job ended, without an API server")
    finally:
        own_control_plane.resume_api()
    complete(rise, "under-way")


def test_an_operator_without_a_bus_says_so_and_goes_on_when_it_comes(rise: Rise) -> None:
    rise.server.kill()
    rise.operator("operator-a", LEASE)
    rise.submit("early", relay=RELAYED)
    waiting = rise.until("early", "Scheduled", "BusUnavailable")
    assert "no NATS server" in str(condition(waiting, "Scheduled"))
    rise.server.start()
    complete(rise, "early", seconds=90)


def test_a_bus_that_lost_everything_gets_the_jobs_again(rise: Rise) -> None:
    rise.operator("operator-a", LEASE)
    hold = rise.hold(0)
    rise.held(job_id(rise.until(rise.submit("twice", relay=RELAYED), "Scheduled")))
    rise.server.kill()
    rise.server.forget()
    hold.unlink()
    rise.server.start()
    complete(rise, "twice", seconds=120)


def test_the_watch_is_part_of_being_alive(rise: Rise) -> None:
    operator = rise.operator("operator-a", LEASE)
    leads(rise, operator)
    assert operator.asks("/healthz") == (200, "ok\n")
    until(lambda: operator.metric("rise_operator_reconcile_seconds_count"), lambda n: n > 0, 30, "a first reconcile")


def run_operator(rise: Rise, *more: str) -> subprocess.CompletedProcess[str]:
    """An operator that is expected to end by itself."""
    command = [sys.executable, "-m", "rise_operator", f"--namespace={rise.namespace}", f"--nats-url={rise.server.url}"]
    return subprocess.run(
        [*command, *more], env=rise.environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_cluster_without_the_definitions_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    plane = ControlPlane(tmp_path_factory.mktemp("bare"))
    rise = Rise(plane, tmp_path_factory.mktemp("rise"), "default")
    try:
        plane.start()
        done = run_operator(rise, f"--kubeconfig={plane.kubeconfig}")
    finally:
        plane.close()
    assert done.returncode == 2
    assert "definition of modelfamilies" in done.stderr
    assert "kubectl apply -f crds/" in done.stderr


def test_missing_rights_are_refused_in_words(rise: Rise, own_control_plane: ControlPlane) -> None:
    lease = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "lease-only"},
        "rules": [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
        ],
    }
    rise.kubectl.apply(lease)
    rise.kubectl.run("create", "rolebinding", "lease-only", "--role=lease-only", "--user=weak")
    weak = own_control_plane.kubeconfig_for("weak")
    done = run_operator(rise, f"--kubeconfig={weak}")
    assert done.returncode == 2
    assert "right to list modelfamilies" in done.stderr


def test_a_second_installation_for_the_same_namespaces_is_refused(rise: Rise) -> None:
    leads(rise, rise.operator("operator-a", LEASE))
    done = run_operator(rise, f"--kubeconfig={rise.cluster.kubeconfig}", "--release=other")
    assert done.returncode == 2
    assert "no other Rise operator" in done.stderr
