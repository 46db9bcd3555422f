"""Uploads from a seed, and the client that sends them."""
