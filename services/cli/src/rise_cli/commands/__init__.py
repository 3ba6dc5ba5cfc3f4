"""One module per group of commands: read the options, call the packages, print. Nothing is decided here.

Heavy imports wait until a command runs, so that `rise --help` and shell completion answer at once.
"""
