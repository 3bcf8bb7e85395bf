"""Values of the OCI specifications. Code here does no I/O, is never async, and reads no clock."""
