"""Runs in steps: a test or a program uploads, breaks and heals by itself, and the recorded history is judged as any run's."""
