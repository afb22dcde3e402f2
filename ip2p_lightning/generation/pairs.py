"""The stage `pairs`: edits in words in, images with scores out.

The images of a candidate are written once, as members of its part's tar; next to it a Parquet file has a row for each
candidate, stored or not. Every later stage reads the rows, and the bytes of an image where it needs them.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import pyarrow as pa
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import open_image, to_pil, to_tensor
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.generation.base import (
    Candidate,
    Draw,
    EditTriple,
    PairMaker,
    PairScorer,
    PairScores,
    UnmakeableTriple,
)
from ip2p_lightning.generation.filter import KEPT, UNSAFE
from ip2p_lightning.generation.manifest import Ledger, ManifestError, Record, Result
from ip2p_lightning.generation.search import PREVIEW, Search, SearchResult

FORMATS = {"png": {"format": "PNG"}, "jpg": {"format": "JPEG", "quality": 100, "subsampling": 0}}
"""Encoding of images; InstructPix2Pix stored JPEGs of quality 100."""
IMAGES = ("original", "edited")
SCORE_NAMES = {
    "image": "clip_image",
    "direction": "clip_direction",
    "original_text": "text_image_original",
    "edited_text": "text_image_edited",
}
"""Fields of `PairScores` -> names of the scores in datasets, those of imported InstructPix2Pix folders."""
CANDIDATE_SCHEMA = pa.schema(
    [("triple", pa.string()), ("pair", pa.string()), ("group", pa.string()), ("kind", pa.string())]
    + [("seed", pa.int64()), ("threshold", pa.float64()), ("text_scale", pa.float64())]
    + [(f"score_{name}", pa.float64()) for name in SCORE_NAMES.values()]
    + [("preview", pa.bool_()), ("stored", pa.bool_()), ("reason", pa.string()), ("metadata", pa.string())]
)
"""Columns of `candidates.parquet` of a dataset."""
_PLACES = [(f"{image}_{what}", pa.int64()) for image in IMAGES for what in ("offset", "length", "crc32")]
PART_SCHEMA = pa.schema([*CANDIDATE_SCHEMA, *_PLACES])
"""Columns of a part's table: the same, and where the images lie in its tar. A score that is not finite is NaN here; a
candidate that was not scored has none."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """Candidates of a triple.

    Args:
        id: of the triple.
        record: where it lies.
    """

    id: str
    record: Record

    @property
    def digest(self) -> str:
        """Of the images and rows."""
        return self.record.digest

    @cached_property
    def triple(self) -> EditTriple:
        """The edit in words."""
        return EditTriple(**self.record.note["triple"])

    @property
    def calls(self) -> int:
        """Samples that went through the denoiser."""
        return self.record.note["calls"]

    @property
    def refused(self) -> str:
        """Why the maker can make nothing of the triple; "" if it can."""
        return self.record.note["refused"]

    @property
    def rows(self) -> Sequence[Row]:
        """A row of `PART_SCHEMA` for each candidate."""
        return self.record.rows

    def image(self, row: Row, image: str) -> bytes:
        """The file of an image of a stored candidate, checked.

        Raises:
            ManifestError: a damaged part.
        """
        return self.record.bytes(*(row[f"{image}_{what}"] for what in ("offset", "length", "crc32")))

    def candidate(self, row: Row) -> Candidate:
        """A stored candidate with its images."""
        before, after = (to_tensor(open_image(self.image(row, image))) for image in IMAGES)
        return Candidate(draw_of(row), before, after, json.loads(row["metadata"]), scores_of(row), row["reason"])


def recorded(ledger: Ledger, triples: Sequence[EditTriple] | None = None) -> list[Made]:
    """Candidates of triples, sorted by their ids.

    Args:
        ledger: of the stage `pairs`.
        triples: those that there are now; what was made of others is passed over. None for all.

    Raises:
        ManifestError: parts without rows, as versions before 0.2 wrote them.
    """
    found = [Made(id, record) for id, record in sorted(ledger.records(triples).items())]
    for part in {made.record.part for made in found if not made.record.table.is_file()}:
        raise ManifestError(
            f"{part} has no table of its candidates next to it: it is of a version before 0.2, or incomplete; remove "
            f"{ledger.folder} and run the stage pairs again, or finish the run with the version that began it"
        )
    return found


def pair_id(triple: str, number: int) -> str:
    """Id of a pair: its triple and its number among the candidates."""
    return f"{triple}/{number}"


def scores_of(row: Row) -> PairScores | None:
    """The scores of a part's row; None if it was not scored."""
    values = {field: row[f"score_{name}"] for field, name in SCORE_NAMES.items()}
    return None if None in values.values() else PairScores(**values)


def draw_of(row: Row) -> Draw:
    """Sampling values of a row's candidate."""
    return Draw(row["seed"], row["threshold"], row["text_scale"])


class MakePairs:
    """Has a search make pairs of triples.

    Args:
        maker: makes images.
        scorer: scores them.
        search: decides how many and which.
        pictures: "png" or "jpg".
        rejected: share of the candidates that were left out whose images are stored all the same, to be looked at
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

    def __call__(self, inputs: Sequence[EditTriple]) -> dict[str, Result]:
        return {triple.id: self._made(triple) for triple in inputs}

    def _made(self, triple: EditTriple) -> Result:
        try:
            return self._record(self.search.run(triple, self.maker, self.scorer))
        except UnmakeableTriple as error:
            return self._record(SearchResult(triple, [], 0), error.reason)

    def _record(self, result: SearchResult, refused: str = "") -> Result:
        prefix = blake2b(result.triple.id.encode(), digest_size=8).hexdigest()
        rows: list[dict[str, Any]] = []
        with io.BytesIO() as buffer:
            tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (open: no end mark)
            for number, pair in enumerate(self._checked(result)):
                row = _row(result.triple, number, pair, stored := self._stores(result.triple, pair))
                for image in IMAGES if stored else ():
                    data = encode(getattr(pair, f"{image}_image"), self.pictures)
                    offset = _add(tar, f"{prefix}/{number:04d}.{image}.{self.pictures}", data)
                    place = {"offset": offset, "length": len(data), "crc32": zlib.crc32(data)}
                    row |= {f"{image}_{what}": value for what, value in place.items()}
                rows.append(row)
            note = {"triple": asdict(result.triple), "calls": result.calls, "refused": refused}
            return Result(buffer.getvalue(), pa.Table.from_pylist(rows, PART_SCHEMA), note)

    def _checked(self, result: SearchResult) -> list[Candidate]:
        """All pairs; those that would be stored are asked about by the safety filter, whatever their scores."""
        pairs = [*result.pairs]
        chosen = [number for number, pair in enumerate(pairs) if self._stores(result.triple, pair)]
        made = [pairs[number] for number in chosen]
        reasons = self.search.filter.fit_to_store(made, [pair.reason for pair in made])
        for number, reason in zip(chosen, reasons, strict=True):
            pairs[number] = replace(pairs[number], reason=reason)
        return pairs

    def _stores(self, triple: EditTriple, pair: Candidate) -> bool:
        if not pair.finished:
            return False
        if pair.reason == KEPT:
            return True
        drawn = hashed_integer("stored", triple.id, pair.draw.seed) / 2**64
        return pair.reason not in (PREVIEW, UNSAFE) and drawn < self.rejected


def encode(image: Tensor, format: str) -> bytes:
    """An image [3, H, W] in [-1, 1] as a file's bytes."""
    buffer = io.BytesIO()
    picture: Image.Image = to_pil(image.float().cpu())
    picture.save(buffer, **FORMATS[format])  # type: ignore[arg-type]
    return buffer.getvalue()


def _row(triple: EditTriple, number: int, pair: Candidate, stored: bool) -> dict[str, Any]:
    scores = asdict(pair.scores) if pair.scores is not None else {}
    return {
        "triple": triple.id,
        "pair": pair_id(triple.id, number),
        "group": triple.group or triple.id,
        "kind": triple.kind,
        "seed": pair.draw.seed,
        "threshold": pair.draw.share,
        "text_scale": pair.draw.guidance_scale,
        **{f"score_{name}": _number(scores.get(field)) for field, name in SCORE_NAMES.items()},
        "preview": pair.reason == PREVIEW,
        "stored": stored,
        "reason": pair.reason,
        "metadata": json.dumps(dict(pair.metadata)),
    }


def _number(score: float | None) -> float | None:
    return score if score is None or math.isfinite(score) else math.nan


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Add a member; where its bytes begin."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    offset = tar.offset + tarfile.BLOCKSIZE  # the header of a short USTAR name is one block
    tar.addfile(info, io.BytesIO(data))
    return offset
