"""Reads a file and an environment into a frozen Config; reports all errors of the file at once. No network."""
