"""Wires: the bus, the worker loop, the job driver and what else turns the contracts into running processes."""
