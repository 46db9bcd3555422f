"""Sessions: a stack and the system on it, opened once and shared by what runs on it."""
