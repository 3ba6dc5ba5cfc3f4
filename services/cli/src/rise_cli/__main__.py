"""`python -m rise_cli`, and the `rise` script."""

from rise_cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
