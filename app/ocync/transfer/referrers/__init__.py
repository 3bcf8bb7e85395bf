"""What is attached to images, on its way to a target: referrers, cosign's tags, fallback indexes."""
