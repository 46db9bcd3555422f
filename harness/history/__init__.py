"""The append-only record of a run: its format, its writer, its reader."""
