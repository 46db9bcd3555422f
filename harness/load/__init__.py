"""Uploads drawn from a seed, and the clients that send them."""
