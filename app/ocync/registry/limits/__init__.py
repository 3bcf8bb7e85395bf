"""How many requests a host gets at once and per second, by kind of request."""
