"""Turns a complete batch into commands, one an essay, and sees the pass to its end."""
