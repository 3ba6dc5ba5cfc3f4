"""The default policy: latency by formula times learned multipliers, quality by one shared linear model, and a utility
composed of the two with the user's own weight when the job is decided. Its equations are in docs/scheduling.md.
"""
