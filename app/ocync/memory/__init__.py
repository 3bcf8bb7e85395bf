"""What earlier passes have learnt, kept in a file: hints that save requests, each of them safe to lose."""
