"""Other models of audio: VAE, VQ-VAE, GANSynth and diffusion."""
