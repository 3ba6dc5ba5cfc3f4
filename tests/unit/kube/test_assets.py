"""Where the binaries of Kubernetes are looked for, and that a build is made once, whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube import assets
from tests.locks import ROOT

GO = """\
#!/bin/sh
# Stands for the compiler: says that it was called, waits until it may go on, and writes what it was asked for.
echo "$*" >> "$RECORD"
until [ -e "$GATE" ]; do sleep 0.05; done
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2" && chmod +x "$2"
"""

BROKEN_GO = """\
#!/bin/sh
echo "main.go:7: no such thing" >&2
exit 3
"""


def put(folder: Path, *names: str, text: str = "#!/bin/sh\n") -> None:
    """Programs of these names into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty cache and, on PATH, no Kubernetes and no Go."""
    put(tmp_path / "bin")
    return {"RISE_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "bin")}


def test_the_named_folder_comes_before_the_cache_and_path(environ: dict[str, str], tmp_path: Path) -> None:
    places = [tmp_path / "bin", assets.cache_folder(environ), tmp_path / "named"]
    found = []
    for place in places:
        put(place, "kubectl")
        found.append(assets.locate("kubectl", {**environ, "KUBEBUILDER_ASSETS": str(tmp_path / "named")}))
    assert found == [place / "kubectl" for place in places]


def test_the_servers_are_never_taken_from_path(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", *assets.CONTROL_PLANE)
    assert assets.locate("etcd", environ) is None


def test_a_folder_without_the_controllers_gives_no_server_either(environ: dict[str, str], tmp_path: Path) -> None:
    environ["KUBEBUILDER_ASSETS"] = str(tmp_path / "named")
    put(tmp_path / "named", "etcd", "kube-apiserver", "kubectl")
    assert assets.locate("kube-apiserver", environ) is None
    put(tmp_path / "named", "kube-controller-manager", "kube-scheduler")
    assert assets.locate("kube-apiserver", environ) == tmp_path / "named" / "kube-apiserver"


def test_what_neither_lies_there_nor_can_be_built_is_lacking(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", "helm")
    assert assets.lacking(["helm", "etcd"], environ) == ("etcd",)
    put(tmp_path / "bin", "go")
    assert assets.lacking(["helm", "etcd"], environ) == ()


def test_the_cache_is_where_its_variables_say(tmp_path: Path) -> None:
    names = [
        assets.cache_folder({"RISE_CACHE": "/r", "XDG_CACHE_HOME": "/x", "HOME": "/h"}),
        assets.cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/h"}),
        assets.cache_folder({"HOME": "/h"}),
    ]
    assert [str(name.parent) for name in names] == ["/r/kube", "/x/rise/kube", "/h/.cache/rise/kube"]
    assert len({name.name for name in names}) == 1


def test_other_sources_are_kept_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "go.mod").write_text("module x\nrequire (\n\tk8s.io/kubernetes v1.2.3\n)\n")
    (tmp_path / "go.sum").touch()
    before = assets.cache_folder({"HOME": "/h"}, tmp_path).name
    (tmp_path / "node" / "main.go").write_text("package main\n")
    after = assets.cache_folder({"HOME": "/h"}, tmp_path).name
    assert before.startswith("v1.2.3-") and after.startswith("v1.2.3-")
    assert before != after


def test_the_version_that_is_built_in_is_the_one_of_go_mod(tmp_path: Path) -> None:
    command, extra = assets.go_command(assets.PRODUCTS[0], tmp_path)
    assert "component-base/version.gitVersion=v1.35.4 " in " ".join(command)
    assert "-trimpath" in command and extra["CGO_ENABLED"] == "0"


def test_without_go_the_error_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(assets.CannotBuild, match="install Go, or point KUBEBUILDER_ASSETS at a folder"):
        assets.find("etcd", environ)


def test_an_unknown_name_is_refused_with_the_known_ones(environ: dict[str, str]) -> None:
    with pytest.raises(assets.CannotBuild, match=r"wanted one of etcd, .*, got 'minikube'"):
        assets.find("minikube", environ)


def test_a_build_that_fails_shows_what_go_said_and_leaves_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", "go", text=BROKEN_GO)
    with pytest.raises(assets.CannotBuild, match=r"got exit code 3:\nmain.go:7: no such thing"):
        assets.find("etcd", environ)
    assert [each.name for each in assets.cache_folder(environ).iterdir()] == ["controlplane.lock"]


def test_two_that_build_at_once_build_once(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "bin", "go", text=GO)
    record, gate = tmp_path / "record", tmp_path / "gate"
    own = {**os.environ, **environ, "RECORD": str(record), "GATE": str(gate)}
    own["PATH"] += f":{os.environ['PATH']}"
    own.pop("KUBEBUILDER_ASSETS", None)
    command = [sys.executable, "-m", "tests.kube.assets", *assets.CONTROL_PLANE]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for each in both:
        assert each.stderr is not None
        assert each.stderr.readline().startswith("kube: building controlplane in ")
    gate.touch()
    folders = {each.communicate(timeout=60)[0].strip() for each in both}
    assert [each.returncode for each in both] == [0, 0]
    assert folders == {str(assets.cache_folder(environ))}
    assert len(record.read_text().splitlines()) == 1
    assert all(assets.locate(name, environ) for name in assets.CONTROL_PLANE)
