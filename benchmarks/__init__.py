"""Every published figure, each printed by the code that measures it."""
