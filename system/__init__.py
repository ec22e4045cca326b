"""Talks to the operating system: atomic writes, argument parsing, stderr."""
