"""MagicBrush's test folder (Zhang et al. 2023), turn by turn or whole sessions.

<path>/edit_sessions.json, global_descriptions.json, images/<id>/<id>-input.png, <id>-output1.png, <id>-mask1.png, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.formats.listed_files import ListedFiles, ListedPair, Unusable

_DESCRIPTIONS = ("global_descriptions.json", "global_description.json", "local_descriptions.json")


class MagicBrushSource(ListedFiles):
    """The pairs of MagicBrush's protocols.

    "single": every turn is a pair whose original is the true image before it (what the authors call all turns,
    independent editing), with its mask. "multi": every session is a pair from its input to its last true image (final
    turn, iterative editing); its instruction has the turns' instructions on a line each, for `editors.turn_by_turn`.

    Ids are <session>-<turn>, as `FolderOutputs` needs them for files that MagicBrush's own scripts wrote. Captions are
    those of the descriptions' file, as far as there is one.

    Args:
        path: the folder.
        turns: "single" or "multi".
        licence: of the images.
        unusable: what becomes of turns with missing files or images of different sizes: "gap" or "error".
        resize: bring edited images to their original's size instead.

    Raises:
        FileNotFoundError: no `edit_sessions.json` or no images there.
        ValueError: a damaged listing; see also `ListedFiles`.
    """

    def __init__(
        self,
        path: str | Path,
        turns: Literal["single", "multi"] = "single",
        licence: str = "CC BY 4.0",
        unusable: Unusable = "gap",
        resize: bool = False,
    ) -> None:
        if turns not in ("single", "multi"):
            raise ValueError(f"turns={turns!r}: choose single (every turn from the true image) or multi (sessions)")
        listing = Path(path) / "edit_sessions.json"
        sessions = read_json(listing, "MagicBrush's sessions")
        if not isinstance(sessions, dict):
            raise ValueError(f"{listing} should hold an object of sessions, not {type(sessions).__name__}")
        captions = next((read_json(file, "captions") for n in _DESCRIPTIONS if (file := Path(path) / n).is_file()), {})
        pairs = _turns if turns == "single" else _sessions
        listed = (pair for key, rows in sessions.items() for pair in _usable(pairs, str(listing), key, rows, captions))
        name = f"MagicBrush, {'single' if turns == 'single' else 'multi'}-turn"
        super().__init__(name, Path(path) / "images", listed, licence, unusable, resize)


def _usable(pairs: Callable[..., Iterator[ListedPair]], *session: Any) -> Iterator[ListedPair | UnusablePair]:
    try:
        yield from pairs(*session)
    except UnusablePair as error:
        yield error


def _turns(listing: str, key: str, rows: Any, captions: Any) -> Iterator[ListedPair]:
    for turn, row in enumerate(_rows(listing, key, rows), start=1):
        yield ListedPair(
            place=f"{listing} session {key} turn {turn}",
            id=f"{key}-{turn}",
            original=f"{key}/{row['input']}",
            edited=f"{key}/{row['output']}",
            mask=f"{key}/{row['mask']}" if isinstance(row.get("mask"), str) and row["mask"] else "",
            instruction=row["instruction"],
            original_caption=_caption(captions, key, row["input"]),
            edited_caption=_caption(captions, key, row["output"]),
            group=key,
            metadata={"turn": turn},
        )


def _sessions(listing: str, key: str, rows: Any, captions: Any) -> Iterator[ListedPair]:
    rows = _rows(listing, key, rows)
    yield ListedPair(
        place=f"{listing} session {key}",
        id=f"{key}-{len(rows)}",
        original=f"{key}/{rows[0]['input']}",
        edited=f"{key}/{rows[-1]['output']}",
        instruction="\n".join(" ".join(row["instruction"].split()) for row in rows),
        original_caption=_caption(captions, key, rows[0]["input"]),
        edited_caption=_caption(captions, key, rows[-1]["output"]),
        group=key,
        metadata={"turns": len(rows)},
    )


def _rows(listing: str, key: str, rows: Any) -> list[dict[str, str]]:
    needed = ("input", "output", "instruction")
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        bad = [turn for turn, row in enumerate(rows, 1) if not all(isinstance(row.get(name), str) for name in needed)]
        if not bad:
            return rows
        place = f"{listing} session {key} turn {bad[0]}"
        raise UnusablePair(place, f"a turn needs the texts {', '.join(needed)}")
    raise UnusablePair(f"{listing} session {key}", "a session is a list of turns")


def _caption(captions: Any, key: str, file: str) -> str:
    of_session = captions.get(key) if isinstance(captions, Mapping) else None
    caption = of_session.get(file) if isinstance(of_session, Mapping) else None
    return caption if isinstance(caption, str) else ""
