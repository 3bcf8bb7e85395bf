"""The only package that writes to a target. Takes the plan's images one by one and gives results back."""
