"""A system that is up until it is told to end, and the faults that are asked for meanwhile."""
