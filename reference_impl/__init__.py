"""The reference pipeline: store raw first, and apply each event once."""
