"""Exchange with diffusers and transformers: folders that `from_pretrained` loads, pipelines, adapters, model cards.

What merely reads or writes this package's own files (checkpoints, shards) belongs elsewhere.
"""

from ip2p_lightning.interop.cascade import Cascade, export_cascade, load_cascade
from ip2p_lightning.interop.folder import export, load_folder, load_pipeline
from ip2p_lightning.interop.lora import export_lora
from ip2p_lightning.interop.pipeline import EditingPipeline, MGIEPipeline, TextEditingPipeline

__all__ = [
    "Cascade",
    "EditingPipeline",
    "MGIEPipeline",
    "TextEditingPipeline",
    "export",
    "export_cascade",
    "export_lora",
    "load_cascade",
    "load_folder",
    "load_pipeline",
]
