from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import rise_shapes
from rise_contracts.errors import InvalidInput
from rise_runtime.guard import Guard
from rise_scheduler.app import main, read_prior, read_priors
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy
from rise_scheduler.settings import Settings, read


def test_the_defaults() -> None:
    assert read([], {}) == Settings()
    assert Settings().make_policy(Learning()) == ComposedPolicy(Learning())
    assert read(["--policy", "fixed"], {}).make_policy(Learning()) == FixedPolicy()


def test_the_environment_is_read_and_flags_come_before_it() -> None:
    environment = {"RISE_NATS_URL": "nats://there:1", "RISE_NATS_TOKEN": "s3cret", "RISE_POLICY": "linucb"}
    settings = read([], environment)
    assert (settings.nats_url, settings.access.token, settings.policy) == ("nats://there:1", "s3cret", "linucb")
    assert read(["--nats-url", "nats://here:2", "--policy", "fixed"], environment).nats_url == "nats://here:2"


def test_a_policy_with_its_numbers() -> None:
    chosen = read(["--policy", "linucb", "--alpha", "0.5", "--epsilon", "0.02", "--ridge", "2", "--band", "0.1"], {})
    assert chosen.make_policy(Learning()) == LinUcbPolicy(alpha=0.5, ridge=2.0, epsilon=0.02, band=0.1)


@pytest.mark.parametrize(
    "arguments",
    [["--alpha", "-1"], ["--alpha", "nan"], ["--ridge", "0"], ["--epsilon", "1.5"], ["--reference-seconds", "0"]],
)
def test_numbers_out_of_range_are_named(arguments: list[str]) -> None:
    with pytest.raises(InvalidInput, match=arguments[0]):
        read(arguments, {})


def test_an_unknown_policy_in_the_environment_is_named() -> None:
    with pytest.raises(InvalidInput, match="RISE_POLICY"):
        read([], {"RISE_POLICY": "linucbb"})


@pytest.mark.parametrize("flag", ["--token", "--http-token"])
def test_a_token_is_no_flag(flag: str) -> None:
    with pytest.raises(SystemExit):
        read([flag, "x"], {})


def test_http_is_served_where_it_is_wanted_and_a_bare_port_is_on_loopback() -> None:
    assert read([], {}).http is None
    assert read([], {"RISE_HTTP": "8081"}).http == ("127.0.0.1", 8081)
    assert read(["--http", "localhost:0"], {"RISE_HTTP": "8081"}).http == ("localhost", 0)
    with pytest.raises(InvalidInput, match="RISE_HTTP"):
        read(["--http", "http"], {})


@pytest.mark.parametrize("address", ["0.0.0.0:8081", "[::]:8081", "192.168.0.7:8081", "a-name:8081"])
def test_beyond_loopback_http_needs_a_token(address: str) -> None:
    with pytest.raises(InvalidInput, match="set RISE_HTTP_TOKEN"):
        read(["--http", address], {"RISE_HTTP_TOKEN": ""})
    settings = read(["--http", address], {"RISE_HTTP_TOKEN": "s3cret"})
    assert settings.http_guard == Guard("RISE_HTTP", "s3cret")


@pytest.mark.parametrize("address", ["8081", "127.0.0.2:8081", "[::1]:8081", "localhost:8081"])
def test_on_loopback_http_needs_none(address: str) -> None:
    settings = read(["--http", address], {})
    assert settings.http is not None
    assert not settings.http_guard.asks


def test_a_bad_family_ends_with_one_line_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--family", str(tmp_path / "none.yaml")]) == 2
    broken = tmp_path / "family.yaml"
    broken.write_text("kind: ModelFamily\n")
    assert main(["--family", str(broken)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("rise_scheduler: ") for line in lines)


def test_priors_are_named_by_family() -> None:
    assert read(["--prior", "a=x.npz", "--prior", "b=y=z.npz"], {}).priors == {"a": Path("x.npz"), "b": Path("y=z.npz")}
    for wrong in ("x.npz", "=x.npz", "a="):
        with pytest.raises(InvalidInput, match="FAMILY=FILE"):
            read(["--prior", wrong], {})


def test_a_folder_of_priors_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    """As a kubelet lays it out: what it keeps for itself begins with a dot, and the rest are links."""
    (tmp_path / "..1").mkdir()
    (tmp_path / "..data").symlink_to("..1")
    for name in ("sdxl", "rise-shapes"):
        shutil.copy(rise_shapes.prior_file(), tmp_path / "..1" / f"{name}.npz")
        (tmp_path / f"{name}.npz").symlink_to(Path("..data") / f"{name}.npz")
    assert read_priors(read([], {"RISE_PRIORS": str(tmp_path)})).keys() == {"rise-shapes", "sdxl"}
    assert read_priors(read([], {"RISE_PRIORS": ""})) == {}


def test_a_prior_that_is_named_counts_before_that_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sdxl.npz").write_bytes(b"no sums")
    named = f"sdxl={rise_shapes.prior_file()}"
    assert read_priors(read(["--priors", str(tmp_path), "--prior", named], {})).keys() == {"sdxl"}


def test_a_folder_of_something_else_ends_with_one_line_and_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--priors", str(tmp_path / "none")]) == 2
    (tmp_path / "sdxl").write_bytes(b"")
    assert main(["--priors", str(tmp_path)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rise_scheduler: --priors")]
    assert "a folder that can be read" in lines[0] and "files called FAMILY.npz" in lines[1]


def test_a_prior_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"no sums")
    for file in (damaged, tmp_path / "missing.npz"):
        with pytest.raises(InvalidInput, match="--prior"):
            read_prior(file)
