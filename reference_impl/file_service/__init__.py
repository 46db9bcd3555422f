"""Takes uploads: the raw blob is durable before anything reads it."""
