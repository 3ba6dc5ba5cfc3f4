from __future__ import annotations

from typing import Any

import pytest

from rise_contracts.messages import Accelerator
from rise_stage.heat import LIBRARY, opened, sensor_of

UUID = "8a0b1c2d-0000-1111-2222-333344445555"


class Nvml:
    """The four calls as the library has them: each gives a code, 0 for good, and writes where it is told to."""

    def __init__(self, degrees: int | None = 71, reasons: int | None = 0, known: bool = True) -> None:
        self._degrees, self._reasons, self._known = degrees, reasons, known
        self.asked = b""

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: Any, handle: Any) -> int:
        self.asked = uuid.value
        handle._obj.value = 7
        return 0 if self._known else 6

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, degrees: Any) -> int:
        assert (handle.value, sensor.value) == (7, 0)
        return _written(degrees, self._degrees)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, reasons: Any) -> int:
        return _written(reasons, self._reasons)


def _written(where: Any, value: int | None) -> int:
    if value is None:
        return 3  # not supported
    where._obj.value = value
    return 0


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [(0x0, False), (0x1, False), (0x4, False), (0x8, True), (0x20, True), (0x40, True), (0x84, True), (0x10, False)],
)
def test_heat_and_want_of_power_slow_it_and_its_own_cap_does_not(reasons: int, throttled: bool) -> None:
    assert opened(Nvml(reasons=reasons), UUID)() == Accelerator(temperature_c=71.0, throttled=throttled)


def test_the_gpu_that_torch_uses_is_asked() -> None:
    nvml = Nvml()
    opened(nvml, UUID)
    assert nvml.asked == f"GPU-{UUID}".encode()
    opened(nvml, "MIG-1")
    assert nvml.asked == b"MIG-1"


def test_what_the_driver_does_not_tell_is_unknown() -> None:
    assert opened(Nvml(degrees=None), UUID)() == Accelerator(throttled=False)
    assert opened(Nvml(reasons=None), UUID)() == Accelerator(temperature_c=71.0)
    assert opened(Nvml(degrees=None, reasons=None), UUID)() is None


def test_a_gpu_that_nvml_does_not_know_is_said() -> None:
    with pytest.raises(OSError, match="NVML answers 6 for GPU-8a0b"):
        opened(Nvml(known=False), UUID)


@pytest.mark.parametrize(("device", "library"), [("cpu", LIBRARY), ("mps", LIBRARY), ("cuda", "libnobody-has.so.1")])
def test_without_nvml_nothing_is_known_and_nothing_fails(device: str, library: str) -> None:
    assert sensor_of(device, library)() is None
