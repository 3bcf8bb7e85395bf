"""Keeps a company's own registry filled with the container images it runs."""

__version__ = "0.6.0"
USER_AGENT = f"ocync/{__version__}"
"""How every request names its sender."""
