"""What the operator counts, beside what its job driver does (`rise_runtime.telemetry`)."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

RECONCILES = Histogram(
    "rise_operator_reconcile_seconds",
    "Seconds of one look at an object.",
    ("kind",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
QUEUE = Gauge("rise_operator_queue", "Objects that wait to be looked at.")
API_WRITES = Gauge("rise_operator_api_writes", "Requests to the API server that change something, since the start.")
