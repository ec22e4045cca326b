"""Layers and functions that the networks of WaveGAN and SpecGAN share."""
