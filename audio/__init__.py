"""Audio files to samples, and samples to audio files and pictures."""
