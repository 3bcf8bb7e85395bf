"""The entry point: runs the command line and exits with the code that it returns."""

from __future__ import annotations

import gc
import sys

# Imports make no garbage, and looking for it takes a sixth of the start. `run` turns the collector on again.
gc.disable()

from ocync.cli.main import run  # noqa: E402


def main() -> None:
    """Run the command line in `sys.argv`; does not return."""
    code = run(sys.argv[1:])
    # Without this, the interpreter searches all objects several times at its end.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
