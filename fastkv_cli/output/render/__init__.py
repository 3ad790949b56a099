"""Renders reports as tables, JSON and CSV. Pure: nothing is written here."""
