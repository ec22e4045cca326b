"""Scores generated audio: functions from arrays to numbers, and commands."""
