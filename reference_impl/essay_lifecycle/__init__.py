"""Keeps the state of each essay: a consumer of the uploads' outcomes."""
