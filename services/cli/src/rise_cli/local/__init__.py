"""A platform on this machine: nats-server, scheduler and workers as child processes, started, watched and stopped.

Nothing here knows what a job is, and nothing outlives the process that started it.
"""
