"""A stack and the system on it, opened once, and used by whoever runs something on it."""
