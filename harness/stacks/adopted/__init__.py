"""Proxies before a broker and stores that a test suite already has, for code that it starts itself."""
