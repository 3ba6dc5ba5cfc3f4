"""The wires between the processes: the bus, the worker loop, the job driver, results, health, telemetry.

Only `rise_runtime.bus` imports NATS. What is decided here is decided by pure functions (`plan`); the loops around
them carry bytes and keep time.
"""
