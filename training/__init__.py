"""One training run: its config, its folder, its loop."""
