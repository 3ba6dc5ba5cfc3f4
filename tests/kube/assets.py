"""The binaries of a real Kubernetes: found where somebody put them, else built once from pinned Go modules.

In this order: the folder KUBEBUILDER_ASSETS names, what an earlier build left in Rise's cache, PATH (kubectl and helm
alone: these may differ from the server by a version), and the Go modules of tests/kube/go. A cold build of the control
plane takes minutes, so it is kept outside the clone, in a folder named by versions and sources, and may be begun early:

    python -m tests.kube.assets [NAME ...]     builds what is missing and prints the folder that holds the builds
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "go"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy")
TOOLS = ("kubectl", "helm")
DNS = ("coredns",)
NAMES = (*CONTROL_PLANE, *TOOLS, *NODE, *DNS)
HELM = "v4.3.1"
COREDNS = "v1.15.0"
TELL_EVERY = 15.0
"""Seconds between two lines of progress."""


class CannotBuild(Exception):
    """A binary is neither there nor can be made; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Product:
    """One binary that go makes, and the names it goes by."""

    name: str
    names: tuple[str, ...]
    package: str
    module: str = ""
    """Where the package is no part of tests/kube/go: what `go install` is given instead."""


PRODUCTS = (
    Product("controlplane", CONTROL_PLANE, "./controlplane"),
    Product("kubectl", ("kubectl",), "k8s.io/kubernetes/cmd/kubectl"),
    Product("helm", ("helm",), "", f"helm.sh/helm/v4/cmd/helm@{HELM}"),
    Product("node", NODE, "./node"),
    Product("coredns", DNS, "", f"github.com/coredns/coredns@{COREDNS}"),
)


def kubernetes_version(sources: Path = SOURCES) -> str:
    """The version of the control plane, as go.mod pins it: v1.35.4 or the like."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (sources / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise CannotBuild(f"wanted a line 'k8s.io/kubernetes v…' in {sources / 'go.mod'}, got none")
    return found[1]


def cache_folder(environ: Mapping[str, str] = os.environ, sources: Path = SOURCES) -> Path:
    """Where builds of exactly these sources for this machine are kept."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    root = Path(environ.get("RISE_CACHE") or Path(base) / "rise")
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()} {HELM}".encode())
    for path in sorted([sources / "go.mod", sources / "go.sum", *sources.glob("*/*.go")]):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    return root / "kube" / f"{kubernetes_version(sources)}-helm-{HELM}-{digest.hexdigest()[:12]}"


def locate(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The binary of this name without building anything; None where there is none."""
    for folder in (environ.get("KUBEBUILDER_ASSETS", ""), cache_folder(environ)):
        # The four of the control plane come from one place, for they have to be of one version.
        together = CONTROL_PLANE if name in CONTROL_PLANE else (name,)
        if folder and all(os.access(Path(folder) / each, os.X_OK) for each in together):
            return Path(folder) / name
    on_path = shutil.which(name, path=environ.get("PATH")) if name in TOOLS else None
    return Path(on_path) if on_path else None


def lacking(names: Sequence[str], environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Those of the names that are neither there nor can be built, because Go is not on PATH."""
    if shutil.which("go", path=environ.get("PATH")):
        return ()
    return tuple(name for name in names if locate(name, environ) is None)


def find(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The binary of this name, built where it has to be; raises CannotBuild."""
    if name not in NAMES:
        raise CannotBuild(f"wanted one of {', '.join(NAMES)}, got {name!r}")
    found = locate(name, environ)
    if found is None:
        (product,) = (product for product in PRODUCTS if name in product.names)
        folder = cache_folder(environ)
        _build_once(product, folder, environ)
        found = folder / name
    return found


def _build_once(product: Product, folder: Path, environ: Mapping[str, str]) -> None:
    """Build into the cache, unless somebody else does or did while we waited for the lock."""
    if shutil.which("go", path=environ.get("PATH")) is None:
        raise CannotBuild(
            f"wanted {' and '.join(product.names)}: not in KUBEBUILDER_ASSETS, nor in {folder}, and there is no Go on "
            "PATH to build them; install Go, or point KUBEBUILDER_ASSETS at a folder that holds them all"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{product.name}.lock").open("w") as lock, progress(f"building {product.name} in {folder}"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / name).exists() for name in product.names):
            _build(product, folder, environ)


def _build(product: Product, folder: Path, environ: Mapping[str, str]) -> None:
    """Build aside, and show the names only when the binary is whole. The caller holds the lock."""
    for left in folder.glob(f".{product.name}-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{product.name}-") as aside:
        output = Path(aside) / "go.log"
        command, extra = go_command(product, Path(aside))
        with output.open("wb") as log:
            done = subprocess.run(command, cwd=SOURCES, env={**environ, **extra}, stdout=log, stderr=log, check=False)
        if done.returncode != 0:
            tail = "\n".join(output.read_text(errors="replace").splitlines()[-20:])
            raise CannotBuild(
                f"wanted {product.name} from {' '.join(command)}, got exit code {done.returncode}:\n{tail}"
            )
        binary = Path(aside) / product.name
        binary.replace(folder / product.name)
        for name in product.names:
            if name != product.name:
                link = Path(aside) / f"{name}.link"
                link.symlink_to(product.name)
                link.replace(folder / name)


def go_command(product: Product, aside: Path) -> tuple[list[str], dict[str, str]]:
    """The command that puts the product into the folder, and what it needs in the environment."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    flags, facts = "-s -w", "k8s.io/component-base/version"
    extra = {"CGO_ENABLED": "0"}
    if product.module:
        return ["go", "install", "-trimpath", "-ldflags", flags, product.module], {**extra, "GOBIN": str(aside)}
    # Built outside Kubernetes' own makefiles, a server would call itself v0.0.0-master and clients would doubt it.
    flags += f" -X {facts}.gitVersion={version} -X {facts}.gitMajor={major} -X {facts}.gitMinor={minor}"
    flags += f" -X {facts}.gitTreeState=clean"
    target = str(aside / product.name)
    return ["go", "build", "-trimpath", "-ldflags", flags, "-o", target, product.package], extra


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Say on stderr what goes on and for how long, while it goes on."""
    began, over = time.monotonic(), threading.Event()

    def tell() -> None:
        print(f"kube: {what}", file=sys.stderr, flush=True)
        while not over.wait(TELL_EVERY):
            print(f"kube: {what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def main(names: Sequence[str]) -> int:
    """Build ahead; the exit code is 1 where something could not be made."""
    # As an exception, so that go and what it wrote do not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        for name in names or (*CONTROL_PLANE, *TOOLS):
            find(name)
    except CannotBuild as error:
        print(f"kube: {error}", file=sys.stderr)
        return 1
    print(cache_folder())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
