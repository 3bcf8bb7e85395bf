"""From the bytes of a file to a tree that knows where everything stands. Knows no section of it."""
