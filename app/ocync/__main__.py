"""The entry point: runs the command line and exits with the code that it returns."""

from __future__ import annotations

import sys

from ocync.cli.main import run


def main() -> None:
    """Run the command line given in `sys.argv`; does not return."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
