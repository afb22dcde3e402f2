"""What frozen networks say of the training pairs, kept on disk: what may be kept, where, building, reading.

When a run uses it belongs to `callbacks.cache`; the networks themselves to `models` and `conditioners`.
"""
