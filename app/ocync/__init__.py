"""Keeps a company's own registry filled with the container images it runs."""

__version__ = "0.6.0"
