"""Logins: from a user's credentials and a registry's challenge to an Authorization header."""
