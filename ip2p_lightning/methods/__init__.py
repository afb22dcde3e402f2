"""One LightningModule a file: what a training step computes and which parameters learn.

Networks belong to `models` and `conditioners`, the algebra to `diffusion`, what merely watches to `callbacks`.
"""
