"""How hot an accelerator is, and whether its driver slows it down, as NVML says: the driver's own library, which is
there wherever CUDA runs. Where it is not, or does not say, nothing is known, and nothing fails.

torch asks NVML through a package (nvidia-ml-py) that no image of ours has; four calls need none.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import Any

import torch

from rise_contracts.messages import Accelerator

log = logging.getLogger(__name__)

Sensor = Callable[[], Accelerator | None]

LIBRARY = "libnvidia-ml.so.1"
SLOWED = 0x08 | 0x20 | 0x40 | 0x80
"""Reasons for low clocks that are none of the work's: slowed by the hardware, by heat (in software, in hardware), by
the power supply. The power cap (0x04) is none: a large GPU lives at it, and its pace was measured there."""
DIE = 0
"""The sensor of the chip itself."""


def sensor_of(device: str, library: str = LIBRARY) -> Sensor:
    """What to ask about a torch device. One that no NVML knows says None."""
    if torch.device(device).type != "cuda":
        return _nothing
    try:
        return opened(ctypes.CDLL(library), str(torch.cuda.get_device_properties(device).uuid))
    except (OSError, AttributeError, RuntimeError, AssertionError) as error:  # no NVML, no such call, no such device
        log.info("nothing is known of the temperature of %s: %s", device, error)
        return _nothing


def opened(nvml: Any, uuid: str) -> Sensor:
    """The sensor of one GPU in the library ``nvml``. Raises OSError where that does not know the GPU, AttributeError
    where it lacks a call."""
    temperature, slowed = nvml.nvmlDeviceGetTemperature, nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    handle = ctypes.c_void_p()
    name = (uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}").encode()
    code = nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(name), ctypes.byref(handle))
    if code:
        raise OSError(f"NVML answers {code} for {name.decode()}")

    def sensor() -> Accelerator | None:
        degrees, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
        hot = temperature(handle, ctypes.c_uint(DIE), ctypes.byref(degrees)) == 0
        why = slowed(handle, ctypes.byref(reasons)) == 0
        if not hot and not why:
            return None
        return Accelerator(
            temperature_c=float(degrees.value) if hot else None,
            throttled=bool(reasons.value & SLOWED) if why else None,
        )

    return sensor


def _nothing() -> None:
    return None
