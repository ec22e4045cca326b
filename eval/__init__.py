"""Scores for generated audio: arrays in, numbers out."""
