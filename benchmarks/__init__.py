"""Every claim of speed or quality, as a program that runs both sides in one run and prints their ratio."""
