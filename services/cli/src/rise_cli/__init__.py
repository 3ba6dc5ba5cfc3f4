"""The `rise` command: one picture from one line, or a platform that stays up.

Here belongs what a person types and sees, and the supervisor that runs the other processes on one machine. What a
job is, how it is driven and how a picture is computed belong to the packages below. torch is never imported in this
process: a command answers in a fraction of a second, and the workers do the work.
"""
