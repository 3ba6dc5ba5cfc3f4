"""A run with one container on the edge that says so and then waits to be killed; test_clearing.py starts it."""

from __future__ import annotations

import json
import signal

from tests.kube import images
from tests.kube.kubectl import until
from tests.nodes.ground import open_ground

if __name__ == "__main__":
    container = {"name": "main", "image": images.pause().reference}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "left"}, "spec": {"containers": [container]}}
    with open_ground() as ground:
        (ground.edge.static_pods / "left.yaml").write_text(json.dumps(manifest))
        until(ground.edge.containers, lambda running: len(running) == 2, 60, "a container on the edge")
        print("running", flush=True)
        signal.pause()
