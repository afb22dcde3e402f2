"""The stage `pairs`: edits in words in, pictures with scores out.

A record is a slice of a tar: `pairs.json` with every candidate, and the pictures of those that are stored.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.generation.base import Candidate, EditTriple, PairMaker, PairScorer, PairScores, UnmakeableTriple
from ip2p_lightning.generation.filter import KEPT, UNSAFE
from ip2p_lightning.generation.search import PREVIEW, ScoredPair, Search, SearchResult

FORMATS = {"png": {"format": "PNG"}, "jpg": {"format": "JPEG", "quality": 100, "subsampling": 0}}
"""How pictures are encoded; InstructPix2Pix stored JPEGs of quality 100."""
_JSON = "pairs.json"


@dataclass(frozen=True)
class StoredPair:
    """A candidate as it was recorded.

    Args:
        candidate: how it was sampled.
        reason: why it was left out when it was made; "" if it was not.
        scores: None if it has none.
        preview: whether the scores are of a few-step preview.
        metadata: of the maker.
        pictures: bytes of the original and of the edited picture; None if they were not kept.
    """

    candidate: Candidate
    reason: str
    scores: PairScores | None
    preview: bool
    metadata: dict[str, Any]
    pictures: tuple[bytes, bytes] | None = None

    @property
    def finished(self) -> bool:
        """Whether other thresholds may decide about it."""
        return self.scores is not None and not self.preview


@dataclass(frozen=True)
class TripleRecord:
    """All that was made of a triple.

    Args:
        triple: the edit.
        pairs: every candidate.
        calls: samples that went through the denoiser.
        refused: why the maker can make nothing of it; "" if it can.
    """

    triple: EditTriple
    pairs: list[StoredPair]
    calls: int
    refused: str = ""


class MakePairs:
    """Has a search make pairs of triples.

    Args:
        maker: makes pictures.
        scorer: scores them.
        search: decides how many and which.
        pictures: "png" or "jpg".
        rejected: share of the candidates that were left out whose pictures are stored all the same, to be looked at
            and to be kept by other thresholds; never those that the safety filter refuses.
    """

    name = "pairs"

    def __init__(
        self, maker: PairMaker, scorer: PairScorer, search: Search, pictures: str = "png", rejected: float = 1.0
    ) -> None:
        if pictures not in FORMATS:
            raise ValueError(f"pictures={pictures!r} must be one of {', '.join(FORMATS)}")
        if not 0 <= rejected <= 1:
            raise ValueError(f"store_rejected={rejected} is a share: from 0 to 1")
        self.maker, self.scorer, self.search = maker, scorer, search
        self.pictures, self.rejected = pictures, rejected

    @property
    def calls(self) -> int:
        return self.maker.calls

    @property
    def models(self) -> Sequence[Any]:
        return [self.maker, self.scorer, self.search]

    def __call__(self, inputs: Sequence[EditTriple]) -> dict[str, bytes]:
        return {triple.id: self._made(triple) for triple in inputs}

    def _made(self, triple: EditTriple) -> bytes:
        try:
            return self._record(self.search.run(triple, self.maker, self.scorer))
        except UnmakeableTriple as error:
            return self._record(SearchResult(triple, [], 0), error.reason)

    def _record(self, result: SearchResult, refused: str = "") -> bytes:
        rows, pictures = [], {}
        for number, pair in enumerate(self._checked(result)):
            if stored := self._stores(result.triple, pair):
                for member in ("original", "edited"):
                    pictures[f"{number:04d}.{member}.{self.pictures}"] = getattr(pair.pair, f"{member}_image")
            rows.append(_row(pair, stored))
        content = {"triple": asdict(result.triple), "calls": result.calls, "pairs": rows}
        content |= {"refused": refused} if refused else {}
        prefix = blake2b(result.triple.id.encode(), digest_size=8).hexdigest()
        with io.BytesIO() as buffer:
            tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (open: no end mark)
            _add(tar, f"{prefix}/{_JSON}", json.dumps(content, ensure_ascii=False).encode())
            for name, image in pictures.items():
                _add(tar, f"{prefix}/{name}", encode(image, self.pictures))
            return buffer.getvalue()

    def _checked(self, result: SearchResult) -> list[ScoredPair]:
        """All pairs; those that would be stored are asked about by the safety filter, whatever their scores."""
        pairs = [*result.pairs]
        chosen = [number for number, pair in enumerate(pairs) if self._stores(result.triple, pair)]
        made = [pair for number in chosen if (pair := pairs[number].pair) is not None]
        reasons = self.search.filter.fit_to_store(made, [pairs[number].reason for number in chosen])
        for number, reason in zip(chosen, reasons, strict=True):
            pairs[number] = replace(pairs[number], reason=reason)
        return pairs

    def _stores(self, triple: EditTriple, pair: ScoredPair) -> bool:
        if pair.pair is None or pair.scores is None:
            return False
        if pair.reason == KEPT:
            return True
        drawn = hashed_integer("stored", triple.id, pair.candidate.seed) / 2**64
        return pair.reason not in (PREVIEW, UNSAFE) and drawn < self.rejected


def read_record(data: bytes) -> TripleRecord:
    """A record as `MakePairs` wrote it."""
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            members[member.name.partition("/")[2]] = tar.extractfile(member).read()  # type: ignore[union-attr]
    content = json.loads(members.pop(_JSON))
    endings = {name.partition(".")[0]: name.rpartition(".")[2] for name in members}
    pairs = []
    for number, row in enumerate(content["pairs"]):
        key = f"{number:04d}"
        both = [members.get(f"{key}.{member}.{endings.get(key)}") for member in ("original", "edited")]
        pictures = (both[0], both[1]) if both[0] is not None and both[1] is not None else None
        known = {name: math.nan if value is None else value for name, value in (row["scores"] or {}).items()}
        scores = PairScores(**known) if known else None
        pairs.append(
            StoredPair(Candidate(**row["candidate"]), row["reason"], scores, row["preview"], row["metadata"], pictures)
        )
    return TripleRecord(EditTriple(**content["triple"]), pairs, content["calls"], content.get("refused", ""))


def encode(image: Tensor, format: str) -> bytes:
    """A picture [3, H, W] in [-1, 1] as a file's bytes."""
    buffer = io.BytesIO()
    picture: Image.Image = to_pil(image.float().cpu())
    picture.save(buffer, **FORMATS[format])  # type: ignore[arg-type]
    return buffer.getvalue()


def _row(pair: ScoredPair, stored: bool) -> dict[str, Any]:
    scores = None
    if pair.scores is not None:
        scores = {name: value if math.isfinite(value) else None for name, value in asdict(pair.scores).items()}
    return {
        "candidate": asdict(pair.candidate),
        "reason": pair.reason,
        "scores": scores,
        "preview": pair.reason == PREVIEW,
        "stored": stored,
        "metadata": dict(pair.pair.metadata) if pair.pair is not None else {},
    }


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))
