"""From a file and an environment to a frozen Config, with all of the file's errors at once. No network."""
