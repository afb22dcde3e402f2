"""InstructPix2Pix, figure 10: how much data, and whether it was filtered.

The paper's figure draws CLIP image similarity against directional similarity for models trained on all pairs, on
fewer, and on pairs that were not filtered. It says that fewer pairs make edits timid (the input is kept, little is
edited), and that unfiltered pairs make the result agree less with the input.

tiny and world: drawn pairs of which half are corrupted on purpose (strange images, images that were not edited), and
a score that knows 95 % of them. With an exact truth the two axes are the error where the image should change and
the error where it should stay. The corruption is ours: the world shows what wrong pairs do, not how well CLIP finds
them. paper: the release's two datasets, imported: pairs=FOLDER (clip-filtered-dataset, 313,010 prompts) and
unfiltered=FOLDER2 (random-sample-dataset, 451,990); shares are of prompts, each model is swept over s_I at s_T = 7.5.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Row, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_curves, draw_lines
from ip2p_lightning.studies.recipes import SEEDS, evaluate, sweep, train
from ip2p_lightning.studies.study import Options

PAIRS = {"tiny": (8, 24), "world": (100, 500, 2500), "paper": (0.01, 0.1, 1.0)}
IMAGE_SCALES = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)  # the paper's s_I
MIDDLE = 1.6  # of them; where claims compare
NAMES = {True: "filtered", False: "not filtered"}
AXES = {"clip_input": "CLIP similarity to the input", "clip_direction": "CLIP direction"}  # the paper's
METRICS = ("error", "changed", "kept", "copy_rate", "closer_than_input", "error_halved", *AXES)


def runs(options: Options) -> list[Run]:
    found = []
    for seed, pairs in product(SEEDS[options.size], PAIRS[options.size]):
        for filtered in (True, False):
            name = f"figure10/{pairs}-{'filtered' if filtered else 'all'}-{seed}"
            model = train(options, f"train/{name}", "ip2p", seed, *data(options, pairs, filtered), steps=(400,))
            labels = {"pairs": pairs, "filtered": filtered, "seed": seed}
            found += [model, measured(options, name, model, labels)]
    return found


def measured(options: Options, name: str, model: Run, labels: Mapping[str, Any]) -> Run:
    """An evaluation; at size paper a curve along s_I, on the filtered pairs' test split for every model."""
    if options.size != "paper":
        return evaluate(options, f"evaluate/{name}", model, labels)
    points = [labels | {"image_scale": scale} for scale in IMAGE_SCALES]
    scales = ["text_scales=[7.5]", f"image_scales=[{','.join(map(str, IMAGE_SCALES))}]"]
    checkpoint = f"<{model.name}>/checkpoints/last.ckpt"
    words = ["metrics=ip2p", "x=clip_direction", "y=clip_input", "baselines=[]", *scales]
    return sweep(options, f"tradeoff/{name}", points, checkpoint, *words)


def data(options: Options, pairs: float, filtered: bool) -> list[str]:
    """Overrides that take so many pairs, of all or of those with good scores."""
    size = options.size
    if size == "paper":
        other = [] if filtered else [f"data.path={options.unfiltered or 'data/unfiltered'}"]
        return [*other, f"data.size={pairs}", "data.size_of=group"]
    small = ["data.train.source.source.count=64", "data.train.source.source.size=32", "data.batch_size=4"]
    large = ["data.train.source.source.count=5600"]
    chosen = [f"data.train.size={pairs}", *(["data.train.min_scores={agreement: 0.5}"] if filtered else [])]
    return ["data=world_candidates", *(small if size == "tiny" else large), *chosen]


def draw(table: Table) -> dict[str, Figure]:
    if "image_scale" in {name for row in table.rows for name in row.labels}:
        figure, (axis,) = new_figure(width=5.2, height=4.0)
        draw_curves(
            axis, Table([_arm(row) for row in table.rows]), "clip_direction", "clip_input", "arm", "image_scale"
        )
        axis.set(xlabel=AXES["clip_direction"], ylabel=AXES["clip_input"])
        return {"figure": figure}
    shown = {
        "error": "error [/255]",
        "changed": "error where it should change [/255]",
        "kept": "error where it should stay [/255]",
        "copy_rate": "left as it was",
    }
    figure, axes = new_figure(columns=len(shown), width=3.4)
    for axis, (metric, title) in zip(axes, shown.items(), strict=True):
        draw_lines(axis, table, "pairs", metric, "filtered", names=NAMES, logarithmic=True)
        axis.set(xlabel="training pairs", title=title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    few, many = min(table.labels("pairs")), max(table.labels("pairs"))
    best, fewest = {"pairs": many, "filtered": True}, {"pairs": few, "filtered": True}
    unfiltered = {"pairs": many, "filtered": False}
    if curves := table.where(image_scale=MIDDLE).rows:
        table, at = Table(curves), f", at s_I = {MIDDLE}"
        return [
            table.compare(f"fewer pairs make edits timid, by CLIP direction{at}", "clip_direction", fewest, best),
            table.compare(f"filtering keeps more of the input, by CLIP{at}", "clip_input", unfiltered, best),
        ]
    return [
        table.compare("more pairs lower the error", "error", best, fewest),
        table.compare("fewer pairs make edits timid: more images are left as they were", "copy_rate", best, fewest),
        table.compare("filtering lowers the error", "error", best, unfiltered),
        table.compare("without filtering the result agrees less with the input", "kept", best, unfiltered),
    ]


def _arm(row: Row) -> Row:
    size, kind = f"{row.labels['pairs']:.0%}", NAMES[row.labels["filtered"]]
    return replace(row, labels={**row.labels, "arm": f"{size}, {kind}"})


STUDY = Study("ip2p_figure10", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
