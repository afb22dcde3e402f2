"""Edit pairs from their sources to batches: pair types, shards on disk, selections, transforms, data module.

Nothing here knows a model or a loss. One file a concern; pair sources live in `sources/`, one file each.
"""
