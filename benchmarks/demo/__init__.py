"""The scheduler on the real platform: three workers of different speeds, shaped links, a drifting load."""
