"""Measure the quality and the speed of compression methods."""
