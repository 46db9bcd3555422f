"""The content service: it keeps blobs, each named by the SHA-256 of its bytes."""
