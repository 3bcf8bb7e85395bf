"""What is to be done: reads of both sides, and pure decisions. Nothing here writes anywhere."""
