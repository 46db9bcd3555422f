"""Reads a compose file, and drafts the system file of what it describes."""
