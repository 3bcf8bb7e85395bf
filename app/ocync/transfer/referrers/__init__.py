"""Copies what is attached to images to a target: referrers, cosign's tags, fallback indexes."""
