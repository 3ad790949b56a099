"""Measure the speed of methods: bench."""
