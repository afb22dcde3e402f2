"""Layouts on disk that other people's pairs come in and go out to, one file a layout; images are never re-encoded.

A layout that `ip2p data import` reads fills in `base.Format` and has a YAML in `conf/format`; one that is read in place
is a source of pairs and has a YAML in `conf/source` or `conf/data`. How pairs are drawn or edited, and the package's
own shards, belong elsewhere.
"""

from ip2p_lightning.data.formats.base import Format, PairWriter

__all__ = ["Format", "PairWriter"]
