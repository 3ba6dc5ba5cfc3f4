"""Scorers: how good a finished picture is, by its prompt alone, told to the scheduler off the hot path."""
