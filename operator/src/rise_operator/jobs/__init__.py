"""RelayJobs: what is seen, what to do about it, what to say of it."""
