"""What the next pass would cost and what images share, from manifests alone: no blob is read."""
