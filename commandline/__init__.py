"""Turns the text of a command line into a config, a mode, an exit code."""
