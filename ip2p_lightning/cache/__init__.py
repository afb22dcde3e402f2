"""Cached encoder outputs: outputs of frozen networks for the training pairs, kept on disk.

When a run uses it belongs to `callbacks.cache`; the networks themselves to `models` and `conditioners`.
"""
