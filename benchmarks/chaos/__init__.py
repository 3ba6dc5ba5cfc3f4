"""The fault matrix: what dies, at which moment of a job, and what became of the job all the same."""
