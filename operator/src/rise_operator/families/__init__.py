"""ModelFamilies: made known to the workers and the scheduler."""
