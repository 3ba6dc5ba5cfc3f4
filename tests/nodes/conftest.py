"""The ground of the nodes ring, made once for the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.capture import CaptureManager

from tests.kube import assets, images
from tests.nodes.ground import Ground, open_ground


@pytest.fixture(scope="session")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Two Ready nodes; all of it is gone after the run, whatever happened."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    # A first build takes minutes: whoever waits is told what for.
    with capture.global_and_fixture_disabled():
        for name in assets.NAMES:
            assets.find(name)
        images.pause()
    with open_ground() as opened:
        yield opened
