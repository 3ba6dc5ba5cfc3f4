"""The stage process: an engine that denoises, and the worker around it.

Here belong noise schedules, solvers, model families, latents on the wire and the process that serves them.
What is said on the bus is in `rise_contracts`; how it is said is in `rise_runtime`.
"""
