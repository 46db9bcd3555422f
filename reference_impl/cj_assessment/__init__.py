"""Comparative judgement: it compares the essays of a batch with one another, and ranks them."""
