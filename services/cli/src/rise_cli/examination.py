"""What `rise doctor` looks at. Nothing is imported that a worker needs: it is looked for, not loaded."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rise_cli import outputs, view
from rise_cli import report as reports
from rise_cli.local import nats_server, state
from rise_contracts import errors

GIB = 1024**3
LEAST_DISK = 1 * GIB
LEAST_MEMORY = 2 * GIB


@dataclass(frozen=True)
class Check:
    """`missing`: no picture can be made without it. `poor`: it goes, but worse. `hint`: what to do."""

    name: str
    state: Literal["ok", "poor", "missing"]
    found: str
    hint: str = ""


def examine(out: Path) -> list[Check]:
    checks: list[Callable[[], Check]] = [
        _python,
        _cores,
        _memory,
        _accelerator,
        *(lambda name=name: _package(name) for name in ("torch", "diffusers", "transformers", "safetensors")),
        _embedded_family,
        _nats,
        _loopback,
        lambda: _folder("output folder", out, "choose another with --out"),
        lambda: _folder("temporary folder", Path(tempfile.gettempdir()), "set $TMPDIR to a folder with room"),
        _state_folder,
        _cache,
        _platform,
    ]
    return [check() for check in checks]


def tell(checks: list[Check], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    for check in checks:
        mark = {"ok": "ok     ", "poor": "poor   ", "missing": "MISSING"}[check.state]
        print(f"{mark} {check.name:<18} {check.found}" + (f" -> {check.hint}" if check.hint else ""))


def _python() -> Check:
    return Check("python", "ok", f"{reports.machine().python}, rise {reports.version()}")


def _cores() -> Check:
    cores = reports.machine().cores
    if cores < 2:
        return Check("cores", "poor", str(cores), "edge and device share one core; times say little")
    return Check("cores", "ok", str(cores))


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available
    if free < LEAST_MEMORY:
        return Check("free memory", "poor", view.size(free), "two workers want about 2 GiB")
    return Check("free memory", "ok", view.size(free))


def _accelerator() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("accelerator", "ok", "none found; the embedded family runs on the CPU")
    command = (tool, "--query-gpu=name,memory.total", "--format=csv,noheader")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return Check("accelerator", "poor", "nvidia-smi does not answer", "see whether the driver is loaded")
    return Check("accelerator", "ok", "; ".join(answer.stdout.strip().splitlines()) or "none")


def _package(name: str) -> Check:
    if importlib.util.find_spec(name) is None:
        return Check(name, "missing", "not installed", "pip install 'rise-relay[cli]'")
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "ok", "installed")


def _embedded_family() -> Check:
    name, hint = "embedded family", "install the wheel with its weights, or make them: make train"
    try:
        import rise_shapes

        folder = rise_shapes.weights_dir()
        files = [file for file in folder.rglob("*.safetensors") if file.is_file()]
    except (ImportError, OSError, errors.RiseError) as error:
        return Check(name, "missing", str(error), hint)
    if not files:
        return Check(name, "missing", f"no weights in {folder}", hint)
    if any(file.stat().st_size < 1024 for file in files):
        return Check(name, "missing", f"pointers instead of weights in {folder}", "git lfs pull")
    return Check(name, "ok", f"{view.size(sum(file.stat().st_size for file in files))} of weights")


def _nats() -> Check:
    try:
        binary = nats_server.find_binary()
    except errors.NotFound:
        return Check("nats-server", "missing", "not found", nats_server.INSTALL_HINT)
    version = nats_server.version_of(binary)
    if nats_server.is_old(version):
        wanted = ".".join(map(str, nats_server.MIN_VERSION))
        return Check("nats-server", "missing", version or "no version", f"wanted {wanted} or newer")
    return Check("nats-server", "ok", f"{version} ({binary})")


def _loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Check("loopback", "missing", error.strerror or str(error), "the processes talk over 127.0.0.1")
    return Check("loopback", "ok", "127.0.0.1 can be listened on")


def _folder(name: str, path: Path, hint: str) -> Check:
    existed = path.exists()
    try:
        outputs.prepare(path)
    except errors.DiskFull as error:
        return Check(name, "missing", str(error).split(";")[0], hint)
    free = shutil.disk_usage(path).free
    if not existed:
        path.rmdir()
    if free < LEAST_DISK:
        return Check(name, "poor", f"{path}: {view.size(free)} free", "make some room")
    return Check(name, "ok", f"{path}: {view.size(free)} free")


def _state_folder() -> Check:
    try:
        return _folder("state folder", state.folder(), f"set ${state.VARIABLE}")
    except errors.DiskFull as error:
        return Check("state folder", "poor", str(error).split(";")[0], f"rise up needs it; set ${state.VARIABLE}")


def _cache() -> Check:
    """Where hub models are kept. Without it the embedded family and local folders still work."""
    path = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    nearest = next(folder for folder in (path, *path.parents) if folder.is_dir())
    try:
        outputs.prepare(nearest)
    except errors.DiskFull:
        return Check("model cache", "poor", f"{path} cannot be written", "hub models need it; set $HF_HOME")
    return Check("model cache", "ok", str(path))


def _platform() -> Check:
    note = state.running()
    if note is None:
        return Check("platform", "ok", "none is up; rise run starts its own")
    return Check("platform", "ok", f"up at {note.url}, serving {', '.join(note.families)}")
