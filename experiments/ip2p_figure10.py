"""InstructPix2Pix, figure 10: how much data, and whether it was filtered.

The paper's figure draws CLIP image similarity against directional similarity for models trained on all pairs, on
fewer, and on pairs that were not filtered. It says that fewer pairs make edits timid (the input is kept, little is
edited), and that unfiltered pairs make the result agree less with the input.

tiny and world: drawn pairs of which half are spoilt on purpose (strange pictures, pictures that were not edited), and
a score that knows 95 % of them. With an exact truth the two axes are the error where the picture should change and
the error where it should stay. The corruption is ours: the world shows what wrong pairs do, not how well CLIP finds
them. paper: your own shards with scores: train="data.path=FOLDER" evaluate="data.path=FOLDER".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_lines
from ip2p_lightning.studies.recipes import SEEDS, evaluate, train
from ip2p_lightning.studies.study import Options

PAIRS = {"tiny": (8, 24), "world": (100, 500, 2500), "paper": (3130, 31300, 313000)}
MIN_SCORES = {"drawn": "{agreement: 0.5}", "paper": "{clip_image: 0.7, clip_direction: 0.2}"}  # section 3.1.2
NAMES = {True: "filtered", False: "not filtered"}
AXES = {"clip_input": "CLIP similarity to the input", "clip_direction": "CLIP direction"}  # the paper's
METRICS = ("error", "changed", "kept", "copied", "nearer", "halved", *AXES)


def runs(options: Options) -> list[Run]:
    found = []
    for seed, pairs in product(SEEDS[options.size], PAIRS[options.size]):
        for filtered in (True, False):
            name = f"figure10/{pairs}-{'filtered' if filtered else 'all'}-{seed}"
            model = train(options, f"train/{name}", "ip2p", seed, *data(options.size, pairs, filtered), steps=(400,))
            labels = {"pairs": pairs, "filtered": filtered, "seed": seed}
            found += [model, evaluate(options, f"evaluate/{name}", model, labels)]
    return found


def data(size: str, pairs: int, filtered: bool) -> list[str]:
    """Overrides that take so many pairs, of all or of those with good scores."""
    if size == "paper":
        return [f"data.size={pairs}", *([f"data.min_scores={MIN_SCORES['paper']}"] if filtered else [])]
    small = ["data.train.source.source.count=64", "data.train.source.source.size=32", "data.batch_size=4"]
    large = ["data.train.source.source.count=5600"]
    chosen = [f"data.train.size={pairs}", *([f"data.train.min_scores={MIN_SCORES['drawn']}"] if filtered else [])]
    return ["data=world_candidates", *(small if size == "tiny" else large), *chosen]


def draw(table: Table) -> dict[str, Figure]:
    shown = {
        "error": "error [/255]",
        "changed": "error where it should change [/255]",
        "kept": "error where it should stay [/255]",
        "copied": "left as it was",
    }
    shown |= {name: AXES[name] for name in table.measured(tuple(AXES))}  # at size paper
    figure, axes = new_figure(columns=len(shown), width=3.4)
    for axis, (metric, title) in zip(axes, shown.items(), strict=True):
        draw_lines(axis, table, "pairs", metric, "filtered", names=NAMES, logarithmic=True)
        axis.set(xlabel="training pairs", title=title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    few, many = min(table.labels("pairs")), max(table.labels("pairs"))
    best, fewest = {"pairs": many, "filtered": True}, {"pairs": few, "filtered": True}
    unfiltered = {"pairs": many, "filtered": False}
    found = [
        table.compare("more pairs lower the error", "error", best, fewest),
        table.compare("fewer pairs make edits timid: more pictures are left as they were", "copied", best, fewest),
        table.compare("filtering lowers the error", "error", best, unfiltered),
        table.compare("without filtering the result agrees less with the input", "kept", best, unfiltered),
    ]
    if len(table.measured(tuple(AXES))) == len(AXES):
        found += [
            table.compare("fewer pairs make edits timid, by CLIP direction", "clip_direction", fewest, best),
            table.compare("filtering keeps more of the input, by CLIP", "clip_input", unfiltered, best),
        ]
    return found


STUDY = Study("ip2p_figure10", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
