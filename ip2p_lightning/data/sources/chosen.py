"""Some pairs of a source, chosen as `Selection` chooses rows of an index, and held in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ip2p_lightning.data.dataset_info import SCORE_PREFIX
from ip2p_lightning.data.encoded import SCORES
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.memory import MemorySource


class ChosenSource(MemorySource):
    """The selections of a dataset folder (`data=shards`) for sources that draw their pairs.

    The whole source is drawn once; what is chosen stays in memory (64 px: about 25 KB a pair).

    Args:
        source: chosen from.
        size: so many pairs, by a hash of the id: 100 is a subset of 200; None for all.
        kinds: these kinds of edits only; None for all.
        min_scores, max_scores: by score name, at least / at most this much.
        seed: another seed gives another nested family of sizes.

    Raises:
        ValueError: an unknown kind or score, or fewer pairs than `size`; says how many each condition left over.
    """

    def __init__(
        self,
        source: PairSource,
        size: int | None = None,
        kinds: Sequence[str] | None = None,
        min_scores: Mapping[str, float] | None = None,
        max_scores: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        selection = Selection(None, None, kinds, min_scores, max_scores, size, seed=seed, option_prefix="data.train.")
        pairs = [source[index] for index in range(len(source))]
        chosen = [pairs[row] for row in selection.rows(_index(pairs), source.name)]
        self._hold(chosen, source, f"{hashed_integer(source.fingerprint(), selection):016x}")


def _index(pairs: Sequence[EditPair]) -> pa.Table:
    """The columns that `Selection` looks at."""
    scores = [pair.metadata.get(SCORES, {}) for pair in pairs]
    columns = {name: [getattr(pair, name) for pair in pairs] for name in ("id", "kind", "group")}
    for name in dict.fromkeys(name for row in scores for name in row):
        columns[SCORE_PREFIX + name] = [row.get(name) for row in scores]
    return pa.table(columns | {"split": [""] * len(pairs)})
