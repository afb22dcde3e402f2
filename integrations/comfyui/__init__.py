"""A node for ComfyUI (V3) that edits images with a running `ip2p serve`; copy the folder into `custom_nodes`."""

from .node import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
