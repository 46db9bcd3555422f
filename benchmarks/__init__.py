"""Every figure of the project, each printed by the code that measures it."""
