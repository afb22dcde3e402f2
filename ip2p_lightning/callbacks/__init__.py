"""Observers of a training run: images, averaged weights, guards, monitors. One Lightning callback a file.

What the loss needs belongs in `methods`; what Lightning's own callbacks do already is configured, not written here.
"""
