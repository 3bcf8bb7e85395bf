"""The entry point: runs the command line and exits with the code that it returns."""

from __future__ import annotations

import gc
import sys

# Modules are made once and kept: looking for garbage meanwhile finds none, and takes a sixth of the start.
# `run` turns the collector on again.
gc.disable()

from ocync.cli.main import run  # noqa: E402


def main() -> None:
    """Run the command line given in `sys.argv`; does not return."""
    code = run(sys.argv[1:])
    # The interpreter would look through all that there is, several times, before it gives it back.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
