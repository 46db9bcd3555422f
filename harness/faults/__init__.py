"""One fault, one file; the table of them stands here."""
