"""The pods of stages, as manifests."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rise_contracts.model import Name
from rise_contracts.pools import StagePoolSpec
from rise_contracts.tenants import pool_on_bus, serves
from rise_operator.api import Object
from rise_operator.pools import pods as manifests
from rise_operator.seen import POOL_LABEL, SeenPool, deployment, pod
from rise_operator.settings import StageDefaults
from rise_stage import settings as stage
from tests.unit.operator import builders as make
from tests.unit.operator.builders import HOME

DEFAULTS = StageDefaults(
    image="stage:1",
    nats_url="nats://nats:4222",
    nats_edge_secret="rise-nats-edge",
    nats_device_secret="rise-nats-device",
    service_account="stage",
)
BUS_NAME: TypeAdapter[str] = TypeAdapter(Name)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
POOL_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)


def specified(pool: SeenPool) -> StagePoolSpec:
    assert pool.spec is not None, pool.problem
    return pool.spec


def made(name: str = "edge", defaults: StageDefaults = DEFAULTS, **spec: Any) -> Object:
    """The Deployment of a pool."""
    pool = make.pool(name, **spec)
    return manifests.deployment(pool.meta, specified(pool), defaults, HOME)


def pod_spec(**spec: Any) -> Object:
    found: Object = made(**spec)["spec"]["template"]["spec"]
    return found


def environment(spec: Object) -> dict[str, str]:
    """The plain variables of its container."""
    return {item["name"]: item["value"] for item in spec["containers"][0]["env"] if "value" in item}


def job_pod(job_name: str = "job", **spec: Any) -> Object:
    pool = make.pool(**spec)
    job = make.job(metadata=make.meta(job_name))
    return manifests.job_pod(job.meta, job.job_id, pool, specified(pool), DEFAULTS, HOME)


class TestSafety:
    """What the restricted Pod Security Standard asks for."""

    @pytest.mark.parametrize("spec", [pod_spec(), job_pod()["spec"]], ids=["pool", "dedicated"])
    def test_a_pod_has_the_least_rights_there_are(self, spec: Object) -> None:
        whole, (container,) = spec["securityContext"], spec["containers"]
        assert whole["runAsNonRoot"] and whole["runAsUser"] > 0
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        own = container["securityContext"]
        assert own == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(
            set(volume) <= {"name", "emptyDir", "persistentVolumeClaim", "projected"} for volume in spec["volumes"]
        )

    def test_it_may_write_where_it_has_to(self) -> None:
        (container,) = pod_spec()["containers"]
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        found = environment(pod_spec())
        assert all(found[name].startswith(writable[0]) for name in ("HOME", "HF_HOME"))

    def test_secrets_come_by_reference(self) -> None:
        spec = pod_spec(hubTokenSecret="hub")
        secrets = {
            item["name"]: item["valueFrom"]["secretKeyRef"]
            for item in spec["containers"][0]["env"]
            if "secretKeyRef" in item.get("valueFrom", {})
        }
        assert secrets == {"HF_TOKEN": {"name": "hub", "key": "token"}}

    @pytest.mark.parametrize("tier", ["edge", "device"])
    def test_the_key_of_its_tier_is_mounted_and_no_other(self, tier: str) -> None:
        known = dataclasses.replace(DEFAULTS, nats_ca_secret="rise-nats-tls")
        spec = made(tier, known, tier=tier)["spec"]["template"]["spec"]
        (keys,) = [volume["projected"] for volume in spec["volumes"] if "projected" in volume]
        assert [source["secret"]["name"] for source in keys["sources"]] == [f"rise-nats-{tier}", "rise-nats-tls"]
        only = [{"key": "ca.crt", "path": "ca.crt"}]
        assert keys["sources"][1]["secret"]["items"] == only, "not the server's own key"
        assert keys["defaultMode"] & 0o007 == 0, "or the worker would not take it"
        (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "nats"]
        assert mount["readOnly"] and environment(spec)["RISE_NATS_ACCESS"] == mount["mountPath"]

    def test_metrics_are_opened_by_a_token_of_stages_where_there_is_one(self) -> None:
        known = StageDefaults(metrics_secret="rise-metrics")
        (container,) = made(defaults=known)["spec"]["template"]["spec"]["containers"]
        (token,) = [item for item in container["env"] if item["name"] == "RISE_METRICS_TOKEN"]
        reference = {"name": "rise-metrics", "key": "stage-token", "optional": True}
        assert token["valueFrom"]["secretKeyRef"] == reference, "another namespace may lack it, and its workers work"

    def test_without_secrets_none_is_asked_for(self) -> None:
        bare = made(defaults=StageDefaults())["spec"]["template"]["spec"]
        assert "secretKeyRef" not in json.dumps(bare) and "projected" not in json.dumps(bare)
        assert "RISE_NATS_ACCESS" not in environment(bare)
        assert "serviceAccountName" not in bare


class TestWhatThePoolSays:
    def test_a_pod_goes_to_a_node_of_its_tier_whatever_else_is_asked_for(self) -> None:
        assert pod_spec(nodeSelector={"zone": "a"})["nodeSelector"] == {"zone": "a", "rise-relay.io/tier": "edge"}
        spec = StagePoolSpec(tier="device").model_copy(update={"node_selector": {"rise-relay.io/tier": "edge"}})
        found = manifests.pod_spec(spec, DEFAULTS, "device")
        assert found["nodeSelector"] == {"rise-relay.io/tier": "device"}, "also where the API server let it through"

    def test_what_the_worker_reads_is_what_the_pool_says(self, tmp_path: Path) -> None:
        """Read by the stage's own settings: a variable of another name or form would be found here."""
        spec = {
            "family": "tiny", "members": ["large", "small"], "labels": {"owner": "ada", "gpu": "a100"}, "threads": 4,
            "precision": "bf16", "offload": "encoders", "slots": 3, "tinyVae": True,
        }  # fmt: skip
        variables = environment(pod_spec(**spec)) | {"RISE_WORKER": "rise-edge-abc", "RISE_NODE": "node-1"}
        variables["RISE_NATS_ACCESS"] = str(tmp_path)
        variables["RISE_LABELS"] = variables["RISE_LABELS"].replace("$(RISE_NODE)", "node-1")
        read = stage.read([], variables)
        identity = read.identity
        assert (identity.name, identity.tier, identity.pool, identity.dedicated) == (
            "rise-edge-abc",
            "edge",
            "edge",
            "",
        )
        assert identity.labels == {"owner": "ada", "gpu": "a100", "node": "node-1"}
        assert (read.families, read.members) == (("bus:tiny",), ("large", "small"))
        assert (read.threads, read.precision, read.offload, read.slots, read.tiny_vae) == (
            4,
            "bf16",
            "encoders",
            3,
            True,
        )
        assert read.nats_url == "nats://nats:4222"

    def test_what_it_does_not_say_is_left_to_the_worker(self) -> None:
        found = environment(pod_spec())
        assert not {"RISE_THREADS", "RISE_SLOTS", "RISE_MEMBERS", "RISE_TINY_VAE", "RISE_DEDICATED"} & set(found)

    def test_variables_come_before_those_that_name_them(self) -> None:
        names = [item["name"] for item in pod_spec()["containers"][0]["env"]]
        assert names.index("RISE_NODE") < names.index("RISE_LABELS")
        assert len(names) == len(set(names))

    def test_the_rest_is_passed_on(self) -> None:
        spec = pod_spec(
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
            resources={"limits": {"nvidia.com/gpu": "1"}, "requests": {"memory": "8Gi"}},
            runtimeClassName="nvidia", priorityClassName="low", image="mine:1", drainSeconds=90, loadSeconds=600,
            modelVolume={"claimName": "weights", "mountPath": "/weights"},
        )  # fmt: skip
        (container,) = spec["containers"]
        assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
        assert container["resources"] == {"limits": {"nvidia.com/gpu": "1"}, "requests": {"memory": "8Gi"}}
        assert (spec["runtimeClassName"], spec["priorityClassName"], container["image"]) == ("nvidia", "low", "mine:1")
        assert spec["terminationGracePeriodSeconds"] == 90
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] == 600
        assert {"name": "models", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}} in spec[
            "volumes"
        ]
        assert {"name": "models", "mountPath": "/weights", "readOnly": True} in container["volumeMounts"]

    def test_defaults_fill_what_is_left_open(self) -> None:
        spec = pod_spec()
        assert (spec["containers"][0]["image"], spec["serviceAccountName"]) == ("stage:1", "stage")
        assert spec["containers"][0]["resources"] == {}


class TestDeployment:
    def test_it_finds_its_own_pods_and_goes_with_its_pool(self) -> None:
        body = made(replicas=3)
        labels, wanted = body["spec"]["template"]["metadata"]["labels"], body["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= labels.items()
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("StagePool", make.UID, True)
        assert body["spec"]["replicas"] == 3
        assert body["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0

    CHANGES = (
        {"replicas": 2}, {"image": "mine:1"}, {"threads": 2}, {"members": ["large"]}, {"nodeSelector": {"a": "b"}},
        {"tolerations": [{"key": "a"}]}, {"labels": {"a": "b"}}, {"tinyVae": True}, {"loadSeconds": 60},
    )  # fmt: skip

    def test_its_digest_changes_with_what_is_wanted(self) -> None:
        found = [deployment(self.seen(made(**change))).digest for change in ({}, *self.CHANGES)]
        assert len(set(found)) == len(found)
        assert deployment(self.seen(made(defaults=StageDefaults()))).digest not in found

    def test_its_digest_changes_with_nothing_else(self) -> None:
        for change in ({}, *self.CHANGES):
            assert made(**change) == made(**change)
        newer = make.pool(metadata=make.meta("edge", HOME, generation=9, resourceVersion="99", creationTimestamp=None))
        assert manifests.deployment(newer.meta, specified(newer), DEFAULTS, HOME) == made()

    @staticmethod
    def seen(body: Object) -> Object:
        return {**body, "metadata": {**make.meta(), **body["metadata"]}}

    @given(POOL_NAMES)
    def test_its_pods_have_names_for_the_bus(self, name: str) -> None:
        """A Deployment's pods are called after it, a hash of up to 10 characters and one of 5."""
        body = made(name)
        worker = f"{body['metadata']['name']}-{'f' * 10}-{'x' * 5}"
        assert BUS_NAME.validate_python(worker) == worker


class TestDedicatedPods:
    def test_it_is_for_one_job_and_no_pools_own(self) -> None:
        body = job_pod()
        found = environment(body["spec"])
        assert found["RISE_DEDICATED"] == make.job().job_id
        assert found["RISE_POOL"] == body["metadata"]["labels"][POOL_LABEL] == "dedicated-edge"
        seen = pod({**body, "metadata": {**make.meta(), **body["metadata"]}})
        assert (seen.job_uid, seen.tier, seen.pool) == (make.UID, "edge", "dedicated-edge")
        selector = made()["spec"]["selector"]["matchLabels"]
        assert not selector.items() <= body["metadata"]["labels"].items(), "the pool's Deployment would take it over"
        assert body["metadata"]["ownerReferences"][0]["kind"] == "StagePool"

    def test_made_after_a_tenants_pool_it_is_the_tenants_too(self) -> None:
        pool = make.pool(metadata=make.meta("edge", namespace="team-a"))
        job = make.job(metadata=make.meta("job", namespace="team-a"))
        body = manifests.job_pod(job.meta, job.job_id, pool, specified(pool), DEFAULTS, HOME)
        found = environment(body["spec"])["RISE_POOL"]
        assert serves(found, "team-a") and not serves(found, "team-b") and not serves(found, None)

    @given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True), st.sampled_from(["edge", "device"]))
    def test_its_name_is_one_for_the_bus(self, name: str, tier: str) -> None:
        found = job_pod(name, tier=tier)["metadata"]["name"]
        assert BUS_NAME.validate_python(found) == found

    def test_both_tiers_of_a_job_and_two_jobs_of_one_name_have_pods_of_their_own(self) -> None:
        assert job_pod(tier="edge")["metadata"]["name"] != job_pod(tier="device")["metadata"]["name"]
        pool = make.pool()
        twin = make.job(metadata=make.meta(uid="99999999-0"))
        other = manifests.job_pod(twin.meta, twin.job_id, pool, specified(pool), DEFAULTS, HOME)
        assert other["metadata"]["name"] != job_pod()["metadata"]["name"]


class TestNamesOnTheBus:
    def test_at_home_a_pool_is_called_what_it_is_called(self) -> None:
        assert pool_on_bus(HOME, "edge", HOME) == "edge"

    def test_pools_that_read_alike_do_not_take_each_others_work(self) -> None:
        pools = [("a", "b-c"), ("a-b", "c"), (HOME, "a-b-c"), ("a-b-c", "x"), (HOME, "a-b-c-x")]
        found = [pool_on_bus(space, name, HOME) for space, name in pools]
        assert len(set(found)) == len(pools)
        for (space, name), (other, twin) in itertools.combinations(pools, 2):
            assert pool_on_bus(space, name, space) != pool_on_bus(other, twin, space)

    @given(NAMES, NAMES, NAMES)
    def test_all_are_names_with_room_for_what_is_put_before_them(self, space: str, name: str, home: str) -> None:
        found = pool_on_bus(space, name, home)
        assert BUS_NAME.validate_python(found) == found
        assert len(found) <= 50
