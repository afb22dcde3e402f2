"""Images that come more than once: pairs that are duplicates, originals in two splits, pairs that are swapped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial import KDTree

from ip2p_lightning.data.doctor.facts import Facts
from ip2p_lightning.data.doctor.finding import Finding

_CELL = 3.0  # grey levels by which means over an eighth of the side may differ
_MEAN, _LARGEST = 2.0, 14.0  # grey levels by which thumbnails may differ: mean, and any cell
_USUAL = 0.8


def repeat_findings(facts: Sequence[Facts], splits: Sequence[str]) -> Iterator[Finding]:
    """Faults that show in several pairs together.

    Args:
        facts: of all pairs.
        splits: of the pairs.
    """
    names = _named([fact.thumbnails[0] for fact in facts] + [fact.thumbnails[1] for fact in facts])
    before, after = names[: len(facts)], names[len(facts) :]
    yield from _duplicates(facts, before, after)
    yield from _leaks(facts, splits, before)
    yield from _swapped(facts, before, after)
    yield from _swapped_files(facts)


def _named(thumbnails: Sequence[np.ndarray]) -> list[int]:
    """A number for each image, the same for images that look the same."""
    if not thumbnails:
        return []
    images = np.stack(thumbnails).astype(np.float32)
    count, side = len(images), images.shape[1] // 8
    cells = images.reshape(count, 8, side, 8, side, 3).mean((2, 4))
    keys = np.concatenate([cells[:, ::2, ::2].mean(-1).reshape(count, -1), cells.mean((1, 2))], axis=1)
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for one, other in KDTree(keys).query_pairs(_CELL, p=np.inf, output_type="ndarray").tolist():
        if root(one) != root(other) and _alike(images[one], images[other]):
            parent[root(other)] = root(one)
    return [root(index) for index in range(count)]


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    difference = np.abs(one - other)
    return bool(difference.mean() < _MEAN and difference.max() < _LARGEST)


def _duplicates(facts: Sequence[Facts], before: Sequence[int], after: Sequence[int]) -> Iterator[Finding]:
    first: dict[tuple[int, int], int] = {}
    for index, fact in enumerate(facts):
        key = before[index], after[index]
        if key[0] == key[1]:
            continue  # unchanged: that is said already
        other = facts[first.setdefault(key, index)]
        if other is fact:
            continue
        how = "byte for byte" if fact.digests == other.digests else "to the eye"
        text = "" if fact.instruction == other.instruction else ", under another instruction"
        yield Finding(fact.id, "duplicate", f"equal to {other.id!r} {how}{text}", "keep one of them")


def _leaks(facts: Sequence[Facts], splits: Sequence[str], before: Sequence[int]) -> Iterator[Finding]:
    first: dict[int, int] = {}
    for index in sorted(range(len(facts)), key=lambda index: splits[index] != "train"):
        other = first.setdefault(before[index], index)
        if splits[other] != splits[index]:
            detail = f"its original is that of {facts[other].id!r} in {splits[other]}"
            yield Finding(facts[index].id, "leak", detail, "give both one group, or cut the splits again")


def _swapped(facts: Sequence[Facts], before: Sequence[int], after: Sequence[int]) -> Iterator[Finding]:
    """Pairs whose edited image is the original of several others, and whose original is no one's edited image."""
    originals, edits = Counter(before), Counter(after)
    texts: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index in range(len(facts)):
        texts[before[index], after[index]].append(index)
    for index, fact in enumerate(facts):
        one, other = before[index], after[index]
        if one == other:
            continue
        if originals[other] >= 2 and edits[other] == 1 and originals[one] == 1 and edits[one] == 0:
            detail = f"its edited image is the original of {originals[other]} other pairs"
            yield Finding(fact.id, "swapped", detail, "exchange its images, unless it is an earlier turn of those")
        turned = [facts[i] for i in texts[other, one] if facts[i].instruction == fact.instruction and i < index]
        if turned:
            detail = f"its images are those of {turned[0].id!r} exchanged, under the same instruction"
            yield Finding(fact.id, "swapped", detail, "keep the right one of the two")


def _swapped_files(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Files of the kind that nearly all edited images are in the original's place, and the other way round."""
    traces = Counter(fact.traces for fact in facts)
    if not traces or len(facts) < 5:
        return
    usual, count = traces.most_common(1)[0]
    if usual[0] == usual[1] or count < _USUAL * len(facts):
        return
    for fact in facts:
        if fact.traces == usual[::-1]:
            detail = (
                f"its original is a file as the others' edited images are ({fact.traces[0].split()[0]}), and vice versa"
            )
            yield Finding(fact.id, "swapped", detail, "look whether its images are exchanged")
