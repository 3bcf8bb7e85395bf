"""Tags in, a decision with its reasons out. Code here does no I/O, is never async, and reads no clock."""
