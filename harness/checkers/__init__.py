"""One checker, one file; the table of them stands here."""
