"""Keeps blobs, each named by the SHA-256 of its bytes."""
