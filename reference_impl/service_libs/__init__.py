"""What the services share: each file one noun."""
