"""What the operator is started with."""

from __future__ import annotations

import pytest

from rise_contracts.errors import InvalidInput
from rise_operator import settings
from rise_runtime.access import Access


def test_without_anything_it_cares_for_all_namespaces() -> None:
    found = settings.read([], {})
    assert (found.namespace, found.release, found.watch_namespaces, found.access) == ("default", "rise", (), Access())
    assert (found.lease, found.lease_s, found.workers) == ("rise-operator", 10.0, 16)
    assert found.stage.nats_url == found.nats_url


def test_flags_come_before_the_environment() -> None:
    environment = {"RISE_NAMESPACE": "a", "RISE_RELEASE": "b", "RISE_LEASE_SECONDS": "15", "RISE_RECONCILERS": "4"}
    found = settings.read(["--namespace", "c", "--workers", "8"], environment)
    assert (found.namespace, found.release, found.lease_s, found.workers) == ("c", "b", 15.0, 8)
    assert found.lease == "b-operator"


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    found = settings.read([], {"RISE_NAMESPACE": "", "RISE_LEASE_SECONDS": "", "RISE_NATS_TOKEN": ""})
    assert (found.namespace, found.lease_s, found.access) == ("default", 10.0, Access())


def test_a_replica_is_called_after_its_pod_or_else_its_host() -> None:
    assert settings.read([], {"RISE_POD_NAME": "rise-1", "HOSTNAME": "host"}).identity == "rise-1"
    assert settings.read([], {"HOSTNAME": "host"}).identity == "host"
    assert settings.read(["--identity", "me"], {"RISE_POD_NAME": "rise-1"}).identity == "me"


def test_namespaces_are_a_list() -> None:
    assert settings.read(["--watch-namespaces", "a,b,"], {}).watch_namespaces == ("a", "b")


def test_pods_may_see_the_bus_under_another_name() -> None:
    environment = {"RISE_NATS_URL": "nats://127.0.0.1:4222", "RISE_STAGE_NATS_URL": "nats://nats.rise:4222"}
    found = settings.read(["--stage-image", "mine:1", "--nats-secret", "bus"], environment)
    assert (found.nats_url, found.stage.nats_url) == ("nats://127.0.0.1:4222", "nats://nats.rise:4222")
    stage = found.stage
    assert (stage.image, stage.nats_edge_secret, stage.nats_device_secret) == ("mine:1", "bus", "bus")
    stage = settings.read(["--nats-secret", "bus", "--nats-device-secret", "own", "--nats-ca-secret", "ca"], {}).stage
    assert (stage.nats_edge_secret, stage.nats_device_secret, stage.nats_ca_secret) == ("bus", "own", "ca")


def test_the_token_comes_from_the_environment_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert settings.read([], {"RISE_NATS_TOKEN": "secret"}).access == Access(token="secret")
    with pytest.raises(SystemExit):
        settings.read(["--nats-token", "secret"], {})
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--namespace", "Rise"],
        ["--release", "my.rise"],
        ["--watch-namespaces", "a, b"],
        ["--watch-namespaces", "a," + "b" * 64],
        ["--lease-seconds", "2"],
        ["--lease-seconds", "301"],
        ["--lease-seconds", "nan"],
        ["--resync-seconds", "0"],
        ["--resync-seconds", "often"],
        ["--workers", "0"],
        ["--workers", "257"],
    ],
)
def test_a_value_out_of_range_is_one_line_about_its_flag(flags: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        settings.read(flags, {})
    assert flags[0] in str(caught.value)
    assert "\n" not in str(caught.value)
