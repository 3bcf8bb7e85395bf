"""Folding results into one report, and showing it: text, JSON, metrics. Nothing here talks to a registry."""
