"""A family as small as can be, for everything that only looks at names and numbers."""

from __future__ import annotations

import pytest

from rise_contracts import manifest, resources

FAMILY = """
apiVersion: rise-relay.io/v1alpha1
kind: ModelFamily
metadata: {name: tiny}
spec:
  base: {path: /nowhere}
  members:
    - {name: large, parameters: 1000, defaultSteps: 20, tier: edge}
    - {name: small, parameters: 100, defaultSteps: 20, tier: device}
    - {name: finisher, parameters: 100, defaultSteps: 10, tier: device, sigmaMax: 2.5}
  handoffs: [5.0, 2.0, 1.2]
  defaultSize: 64
"""

RELAYS = """
  relays:
    - {name: a, stages: [{member: large, steps: 6, untilSigma: 1.2}, {member: finisher, steps: 5}]}
    - {name: b, stages: [{member: large, steps: 3, untilSigma: 2.4}, {member: finisher, steps: 7}]}
    - {name: c, stages: [{member: large, steps: 8}]}
"""


@pytest.fixture
def family() -> resources.ModelFamily:
    """Without relays of its own."""
    return manifest.load_family(FAMILY)


@pytest.fixture
def with_relays() -> resources.ModelFamily:
    return manifest.load_family(FAMILY + RELAYS)
