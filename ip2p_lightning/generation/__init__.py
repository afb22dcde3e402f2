"""The data engine of InstructPix2Pix (section 3.1): captions to triples, triples to pairs, pairs to a filtered dataset.

Writers, pair makers, scorers and the search are small parts behind the protocols of `base.py`; the stages that run them
over many captions and ranks are `ip2p generate`. How pairs are stored belongs to `data/`.
"""
