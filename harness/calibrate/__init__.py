"""Positive controls: what goes wrong on purpose, in a copy or for a moment, to learn whether it can be seen."""
