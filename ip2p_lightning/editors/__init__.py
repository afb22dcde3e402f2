"""Editors: anything that takes images and instructions and returns edited images, behind the protocol in `base`.

How a model learns belongs in `methods`, how it samples in `diffusion`, how well it edits in `evaluation`.
"""
