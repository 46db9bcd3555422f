"""What the harness looks at past the proxies, one kind of look a file."""
