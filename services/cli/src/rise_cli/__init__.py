"""The `rise` command: a front door to the job driver, and the supervisor of a platform on one machine."""
