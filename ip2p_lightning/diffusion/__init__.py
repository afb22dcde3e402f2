"""The diffusion algebra: objectives, conditioning dropout, two-scale guidance, sampling.

Small objects over plain tensors; nothing here knows of texts, images, Lightning or Hydra.
"""
