"""Readers of further formats: each takes bytes, a name and an encoding; returns text and notes."""
