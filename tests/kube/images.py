"""Images for real nodes, built without Docker and kept by what they are made of.

buildah builds the Dockerfiles of the repository on a base that debootstrap makes, for public registries may be out of
reach. Archives lie in Rise's cache, outside the clone, and are named by a digest of everything that went in.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.kube import assets
from tests.kube.network import run
from tests.locks import ROOT
from tests.servers import find_nats_server

RECIPES = ROOT / "tests" / "nodes" / "images"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PATIENCE = 1800.0
"""Seconds for one image, what it downloads included."""

Fill = Callable[[Path], None]


@dataclass(frozen=True)
class Image:
    """An archive with one image in it. A pod calls it localhost/`name`:`tag`; the tag is of what went in."""

    name: str
    tag: str

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{self.tag}"

    @property
    def archive(self) -> Path:
        return _cache() / f"{self.name}-{self.tag}.tar"


def pause() -> Image:
    """What holds a pod's namespaces, or serves a word by HTTP; some megabytes."""
    source = RECIPES / "pause" / "main.go"

    def fill(folder: Path) -> None:
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(folder / "pause"), str(source)]
        subprocess.run(command, check=True, env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"})

    text = 'FROM scratch\nCOPY pause /pause\nUSER 65535\nENTRYPOINT ["/pause"]\n'
    return _from_recipe("rise-pause", text, [source], fill)


def base() -> Image:
    """Debian with Python, in the place of the public slim image, whose `python` it has too."""

    def fill(folder: Path) -> None:
        include = f"--include={PACKAGES}"
        run("debootstrap", "--variant=minbase", include, SUITE, str(folder / "root"), timeout=PATIENCE)
        (folder / "root/usr/bin/python").symlink_to("python3")

    return _from_recipe("rise-base", f"# {SUITE} {PACKAGES}\nFROM scratch\nCOPY root /\n", [], fill)


def nats() -> Image:
    """The server of the wheel on the base."""
    found = find_nats_server()
    assert found is not None
    server = Path(found)

    def fill(folder: Path) -> None:
        shutil.copy(server, folder / "nats-server")

    text = f'FROM {base().reference}\nCOPY nats-server /nats-server\nUSER 65532:65532\nENTRYPOINT ["/nats-server"]\n'
    return _from_recipe("rise-nats", text, [server], fill)


def of_repository(name: str, dockerfile: Path, *arguments: str) -> Image:
    """The image of a Dockerfile that is built from the root of the repository, on our base."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    sources = [ROOT / path for line in copied for path in line.split()]
    image = Image(name, _digest([*arguments, base().tag], [dockerfile, ROOT / ".dockerignore", *sources]))
    if not image.archive.exists():
        _build(image, ROOT, dockerfile, [f"BASE_IMAGE={base().reference}", *arguments])
    return image


def of_rise() -> dict[str, Image]:
    """What the chart installs, by component. The stage takes its libraries from the nodes (tests.kube.realnode)."""
    return {
        "operator": of_repository("rise-operator", ROOT / "operator" / "Dockerfile"),
        "scheduler": of_repository("rise-scheduler", ROOT / "services" / "scheduler" / "Dockerfile"),
        "stage": of_repository("rise-stage", RECIPES / "stage" / "Dockerfile"),
        "nats": nats(),
    }


def _from_recipe(name: str, text: str, sources: Iterable[Path], fill: Fill) -> Image:
    """An image of a Dockerfile's text and of what `fill` puts beside it, which depends on text and sources alone."""
    image = Image(name, _digest([text], sources))
    if not image.archive.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as folder:
            fill(Path(folder))
            dockerfile = Path(folder) / "Dockerfile"
            dockerfile.write_text(text)
            _build(image, Path(folder), dockerfile, [])
    return image


def _build(image: Image, context: Path, dockerfile: Path, arguments: Iterable[str]) -> None:
    """Into the archive, which is there when it is whole. The base stays in buildah's own store, too."""
    aside = image.archive.with_suffix(f".{os.getpid()}")
    with assets.progress(f"building image {image.reference}"):
        _buildah(
            *("bud", "--isolation=chroot", "--network=host", "--pull=never", f"--tag={image.reference}"),
            # pip trusts what this machine trusts, and the image learns nothing of it.
            *(f"--volume={CERTIFICATES}:{CERTIFICATES}:ro", f"--file={dockerfile}"),
            *(f"--build-arg={argument}" for argument in arguments),
            str(context),
        )
        _buildah("push", image.reference, f"docker-archive:{aside}:{image.reference}")
        aside.replace(image.archive)


def _buildah(*arguments: str) -> None:
    store = _cache() / "store"
    run(
        "buildah", f"--root={store}", f"--runroot={store}/run", "--storage-driver=overlay", *arguments, timeout=PATIENCE
    )


def _cache() -> Path:
    folder = assets.cache_folder().parent.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(texts: Iterable[str], sources: Iterable[Path] = ()) -> str:
    """Of texts, files, and all files of folders, by their contents and their names."""
    seen = hashlib.sha256(repr(sorted(texts)).encode())
    for source in sources:
        files = (
            sorted(path for path in source.rglob("*") if "__pycache__" not in path.parts)
            if source.is_dir()
            else [source]
        )
        for file in files:
            if file.is_file():
                seen.update(f"{file.relative_to(source.parent)}\0".encode() + file.read_bytes())
    return seen.hexdigest()[:12]


if __name__ == "__main__":
    for each in (pause(), *of_rise().values()):
        print(each.reference)
