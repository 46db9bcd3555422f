"""The file service: it accepts uploads, and stores each raw blob durably before anything reads it."""
