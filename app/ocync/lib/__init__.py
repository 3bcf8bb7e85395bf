"""What the program needs and no registry has to do with: errors, tasks, threads, limits, text, the log."""
