"""Editors: anything that takes pictures and instructions and returns edited pictures, behind the protocol in `base`.

How a model learns belongs in `methods`, how it samples in `diffusion`, how well it edits in `evaluation`.
"""
