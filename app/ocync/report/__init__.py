"""The report of a pass, as text, JSON, metrics and progress. No module here sends requests to registries."""
