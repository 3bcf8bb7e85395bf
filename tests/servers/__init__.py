"""Real servers for tests, each started by a context manager that ends it again."""
