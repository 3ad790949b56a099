"""Measure the quality of answers: eval, calibrate, profile-heads."""
