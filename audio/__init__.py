"""Reads audio files into samples, and writes and plots samples."""
