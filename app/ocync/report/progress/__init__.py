"""How a pass is shown while it runs: as bars on a terminal, as lines in the log."""
