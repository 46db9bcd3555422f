"""A sweep: every message that one event causes, broken off on both sides, and the map of verdicts."""
