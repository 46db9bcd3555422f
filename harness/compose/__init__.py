"""Reads a compose file, and drafts a system file from it."""
