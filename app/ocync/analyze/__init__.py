"""What the next pass would cost, and what images share: reads of manifests, then arithmetic. No blob is read."""
