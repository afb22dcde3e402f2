"""InstructPix2Pix, figure 9: the same edits by every editor, side by side.

Rows are held-out pairs drawn at random before anything was edited, columns the input, the editors and the truth. The
paper compares with SDEdit, Text2Live and Prompt-to-Prompt; Text2Live optimises each image for itself and takes
long, so that few pairs are taken here. An editor that cannot run leaves its column empty, and says why in claims.md.

Sizes and options as in ip2p_figure8.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ip2p_lightning.data.images import open_image
from ip2p_lightning.evaluation.run_values import read_summary
from ip2p_lightning.report.plotting import picture_grid
from ip2p_lightning.studies import Run, Study, Table
from ip2p_lightning.studies.recipes import evaluate, shown_editor, text_to_image
from ip2p_lightning.studies.study import Options

EDITORS = {
    "ours": "InstructPix2Pix",
    "sdedit": "SDEdit",
    "prompt_to_prompt": "Prompt-to-Prompt",
    "text2live": "Text2Live",
}
ROWS = {"tiny": 2, "world": 4, "paper": 8}
METRICS = ("error", "strength", "true_change", "seconds_per_edit")


def runs(options: Options) -> list[Run]:
    trained, editor_of_ours = shown_editor(options)
    pipeline, words = text_to_image(options)
    found = [*trained, *pipeline]
    shown = [f"count={ROWS[options.size]}", f"show={ROWS[options.size]}", "metrics=strength"]
    for editor in EDITORS:
        checkpoint = editor_of_ours if editor == "ours" else ""
        quick = ["editor.steps=2"] if options.size == "tiny" else []
        published = editor == "text2live" and options.size == "paper"  # not the settings for 64-pixel scenes
        chosen = f"editor={editor}{'_paper' if published else ''}"
        own = [] if editor == "ours" else [chosen, *(quick if editor == "text2live" else words)]
        labels = {"editor": editor}
        found.append(evaluate(options, f"evaluate/figure9/{editor}", checkpoint, labels, *own, *shown))
    return found


def draw(table: Table) -> dict[str, Figure]:
    done = [row for row in table.rows if not row.gap and row.folder]
    folder = done[0].folder if done else None
    texts = [example["instruction"] for example in read_summary(folder)["examples"]] if folder else ["no result"]

    def picture(row: int, column: int) -> Image.Image | None:
        name = {0: "original", len(EDITORS) + 1: "truth"}.get(column, "edited")
        found = [r for r in done if name != "edited" or r.labels["editor"] == list(EDITORS)[column - 1]]
        path = (found[0].folder or Path()) / "pictures" / f"examples-{row:03d}-{name}.png" if found else Path("none")
        return open_image(path) if path.is_file() else None

    return {"figure": picture_grid(texts, ["input", *EDITORS.values(), "truth"], picture)}


STUDY = Study("ip2p_figure9", __doc__ or "", runs, draw, METRICS)

if __name__ == "__main__":
    sys.exit(STUDY.main())
