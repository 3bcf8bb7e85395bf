"""The command line: arguments in, results on stdout, all else on stderr, an exit code out."""
