"""From a registry's challenge and a user's credentials to an Authorization header. Nothing here reads images."""
