"""How much a host is asked for at once and in a second, by kind of request: arithmetic, and what keeps to it."""
