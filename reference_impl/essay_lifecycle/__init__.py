"""The essay lifecycle: a consumer of the uploads' outcomes that keeps each essay's state."""
