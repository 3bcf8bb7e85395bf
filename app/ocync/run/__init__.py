"""Puts a pass together: the only code beside the command line that sees environment, clock and signals."""
