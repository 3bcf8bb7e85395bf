"""What earlier passes have learnt, kept in a file and an artifact: hints, each of them safe to lose."""
