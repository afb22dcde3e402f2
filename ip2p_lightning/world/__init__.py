"""The embedded world: drawn scenes, exact edits, captions and masks, without any download.

Belongs here: attributes, drawing, edits with their texts, and the tokenizer of those texts.
Does not belong here: datasets and batches (``ip2p_lightning.data``), models, metrics.
"""
