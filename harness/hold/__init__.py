"""Holds a system up until it is told to end, and injects faults on request."""
