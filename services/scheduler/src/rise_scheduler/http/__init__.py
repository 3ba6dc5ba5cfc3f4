"""The scheduler over HTTP, for what has no NATS client. The bodies are the contract's messages, as on the bus.

Loaded only where an address for it is given: a scheduler that serves the bus alone needs no web framework in memory.
"""
