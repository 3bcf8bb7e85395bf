"""
The benchmark that `scripts/bench` runs: ocync beside other tools, over registries of its own.

Here are the registries, the corpus, the tools and the tables. Nothing here is part of the program, and nothing here
reaches beyond this machine.
"""
