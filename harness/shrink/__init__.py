"""Shrinks a schedule that breaks a system to the smallest part of it that still does. Runs nothing."""
