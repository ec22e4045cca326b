"""Synthesises spoken digits: training data that needs no download."""
