"""Conditioners: what turns a batch, or instructions and images, into `Conditioning` for the denoiser.

Networks that they are made of belong to `models`; how conditions are dropped and guided belongs to `diffusion`.
"""
