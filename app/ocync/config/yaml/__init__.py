"""Parses a file into a tree with positions, and substitutes variables. Knows no section of the file."""
