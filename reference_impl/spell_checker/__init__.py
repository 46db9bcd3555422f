"""Corrects the spelling of each essay."""
