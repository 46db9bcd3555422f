"""oneffect: runs an event-driven system under real faults and judges it from the recorded history."""
