"""Code that the services share: one noun, one file."""
