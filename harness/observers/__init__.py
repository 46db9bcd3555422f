"""What the harness observes, bypassing the proxies: one observer per file."""
