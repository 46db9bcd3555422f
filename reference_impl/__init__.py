"""The reference pipeline: it stores raw blobs first, and applies each event once."""
