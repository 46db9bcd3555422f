"""Shared by every service: content types, the event envelope, the events and their identity."""
