"""Make the tables and the sheets of kept and left-out pairs in docs/generation.md from the current code.

    python docs/make_generated.py [FOLDER]

It generates the datasets that the page names (some minutes; FOLDER keeps them, and goes on with what is there), has
the judge read them, and shows random pairs of each group. Nothing is picked by hand.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from ip2p_lightning.config import compose
from ip2p_lightning.generation.separation import separation, separation_sheet, separation_table
from ip2p_lightning.jobs.generate import generate
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.zoo import load

PICTURES = Path(__file__).parent / "pictures"
STRICTER = "filter.thresholds={image: 0.2, direction: 0.6, text: 0.7}"
EIGHT = ["generation/search=fixed", "search.candidates=8"]
RUNS = {
    "rendered": ["experiment=generate/rendered", "count=60"],
    "simple": ["experiment=generate/world", "count=12"],
    "wide": ["experiment=generate/world", "count=30", *EIGHT, "search.ranges.guidance_scale=[1,12]"],
    "medium": [
        *("experiment=generate/world", "count=60", *EIGHT),
        *("search.ranges.guidance_scale=[1.2,4]", "captions.level=medium"),
    ],
}
"""Folder -> how it is generated."""
SHEETS = {
    "rendered": {"kept": "generated-kept", "left out": "generated-left-out"},
    "simple": {"kept": "generated-world"},
    "wide": {"kept": "generated-kept-p2p", "left out": "generated-left-out-p2p"},
    "medium": {},
}
"""Folder -> group of pairs -> name of the image that shows some of it."""


def main(folder: Path) -> None:
    """Generate, tell and show."""
    judge = load("judge")
    for name, overrides in RUNS.items():
        dataset = _generated(folder / name, overrides, judge)
        for group, picture in SHEETS[name].items():
            path = PICTURES / f"{picture}.png"
            separation_sheet(dataset, group).save(path, optimize=True)
            print(f"{path}  {path.stat().st_size:,} bytes")
    _generated(folder / "medium", [*RUNS["medium"], STRICTER, "stages=[filter,expressive]"], judge)


def _generated(folder: Path, overrides: list[str], judge: AttributeJudge) -> Path:
    """Generate a dataset, and print how right its pairs are."""
    dataset = generate(compose("generate", [*overrides, f"output_dir={folder}", "threads=1"]))
    Console().print(" ".join(overrides), separation_table(separation(dataset, judge)))
    return dataset


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps the datasets; a temporary one if not given")
    arguments = parser.parse_args()
    if arguments.folder:
        main(arguments.folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
