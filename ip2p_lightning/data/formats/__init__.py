"""Layouts on disk that other people's pairs come in and go out to, one file a format; pictures are never re-encoded.

A new format is one file here that fills in `base.Format`, and one YAML in `conf/format`. How pairs are drawn or edited,
and the package's own shards, belong elsewhere.
"""

from ip2p_lightning.data.formats.base import Format, PairWriter

__all__ = ["Format", "PairWriter"]
