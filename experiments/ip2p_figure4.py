"""InstructPix2Pix, figure 4: one edit under a grid of guidance scales.

The paper shows that a larger text scale s_T edits more strongly and a larger image scale s_I stays closer to the
input. Next to the images, this measures both over many pairs: how far the result is from the input, and how much of
the true change was made.

world: the InstructPix2Pix of the zoo, or base=RUN/checkpoints/last.ckpt. paper: base=timbrooks/instruct-pix2pix
pairs=FOLDER. All points are one run of `ip2p tradeoff`, which encodes once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ip2p_lightning.data.images import open_image
from ip2p_lightning.evaluation.run_values import read_summary
from ip2p_lightning.report.plotting import new_figure, picture_grid
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_lines
from ip2p_lightning.studies.recipes import shown_editor, sweep
from ip2p_lightning.studies.study import Options

TEXT_SCALES = {"tiny": (1.0, 2.0), "world": (0.5, 1.0, 2.0, 3.0), "paper": (3.0, 7.5, 15.0)}
IMAGE_SCALES = {"tiny": (1.0, 1.5), "world": (0.8, 1.0, 1.5), "paper": (1.0, 1.2, 1.6)}
SAMPLING = {"tiny": [], "world": ["steps=4", "count=96"], "paper": []}
METRICS = ("strength", "true_change", "error", "kept")


def runs(options: Options) -> list[Run]:
    found, checkpoint = shown_editor(options)
    texts, images = TEXT_SCALES[options.size], IMAGE_SCALES[options.size]
    points = [{"text_scale": text, "image_scale": image} for text, image in product(texts, images)]
    scales = [f"text_scales={list(texts)}".replace(" ", ""), f"image_scales={list(images)}".replace(" ", "")]
    words = [*scales, "metrics=strength", "x=true_change", "y=strength", "baselines=[]", "show=1"]
    return [*found, sweep(options, "tradeoff/figure4", points, checkpoint, *words, *SAMPLING[options.size])]


def draw(table: Table) -> dict[str, Figure]:
    texts, images = table.labels("text_scale"), table.labels("image_scale")

    def picture(row: int, column: int) -> Image.Image | None:
        part = f"{(column - 1) * len(images) + row:02d}" if column else "original"
        path = (table.rows[0].folder or Path()) / "pictures" / f"000-{part}.png"
        return open_image(path) if path.is_file() and not table.gaps else None

    columns = ["input", *(f"$s_T$ = {scale:g}" for scale in texts)]
    grid = picture_grid([f"$s_I$ = {scale:g}" for scale in images], columns, picture)
    folder = table.rows[0].folder
    done = read_summary(folder)["examples"] if folder and not table.gaps else []
    grid.suptitle(done[0]["instruction"] if done else "no result", fontsize=9)
    figure, axes = new_figure(columns=4, width=3.3)
    titles = ("change from the input [/255]", "part of the true change", "error [/255]", "where it should stay [/255]")
    for axis, metric, title in zip(axes, METRICS, titles, strict=True):
        draw_lines(axis, table, "text_scale", metric, "image_scale", names={s: f"$s_I$ = {s:g}" for s in images})
        axis.set(xlabel="$s_T$", title=title)
    return {"pictures": grid, "figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    image, text = table.labels("image_scale")[1], table.labels("text_scale")[1]
    by_text, by_image = table.where(image_scale=image), table.where(text_scale=text)
    return [
        by_text.ordered(f"a larger s_T edits more strongly (s_I = {image:g})", "strength", "text_scale"),
        by_text.ordered(f"a larger s_T makes more of the true change (s_I = {image:g})", "true_change", "text_scale"),
        by_image.ordered(
            f"a larger s_I makes less of the change (s_T = {text:g})", "true_change", "image_scale", False
        ),
        by_image.ordered(f"a larger s_I stays closer to the input (s_T = {text:g})", "strength", "image_scale", False),
        by_image.ordered(
            f"a larger s_I spoils less of what should stay (s_T = {text:g})", "kept", "image_scale", False
        ),
    ]


STUDY = Study("ip2p_figure4", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
