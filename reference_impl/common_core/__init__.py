"""What every service agrees on: content types, the event envelope, the events and their identity."""
