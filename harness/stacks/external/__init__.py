"""A stack that somebody else started: reached by addresses, broken through its Toxiproxy and the user's commands."""
