"""InstructPix2Pix, figure 8: consistency with the input against consistency with the edit, compared with other editors.

The paper draws CLIP similarity to the input against CLIP direction similarity, each editor along the setting that
trades one for the other: ours along s_I (s_T fixed), SDEdit along its strength, Prompt-to-Prompt along the share of
steps that share attention. It finds that at the same direction its results are nearer to the input. Other editors get
the edited caption, ours the instruction.

tiny: pixel counterparts (part of the true change; change from the input, less is nearer) and random weights. world:
the zoo's editor (or base=RUN/checkpoints/last.ckpt), small CLIP and text-to-image model. paper:
base=timbrooks/instruct-pix2pix pairs=FOLDER and a Stable Diffusion. All points are one run of
`ip2p tradeoff`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_curves
from ip2p_lightning.studies.recipes import as_baseline, shown_editor, sweep, text_to_image
from ip2p_lightning.studies.study import Options

NAMES = {"ours": "InstructPix2Pix ($s_I$)", "sdedit": "SDEdit (strength)", "prompt_to_prompt": "Prompt-to-Prompt ($p$)"}
SWEEPS = {  # the paper's s_I; SDEdit's and Prompt-to-Prompt's ranges are not stated in its text
    "tiny": {"ours": (1.0, 1.5), "sdedit": (0.5, 1.0), "prompt_to_prompt": (0.5,)},
    "world": {
        "ours": (0.8, 1.0, 1.2, 1.5, 2.0),
        "sdedit": (0.3, 0.5, 0.7, 0.9),
        "prompt_to_prompt": (0.1, 0.5, 0.9),
    },
    "paper": {
        "ours": (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2),
        "sdedit": (0.3, 0.5, 0.7, 0.9),
        "prompt_to_prompt": (0.1, 0.3, 0.5, 0.7, 0.9),
    },
}
SETTINGS = {"sdedit": "strength", "prompt_to_prompt": "self_share"}
TEXT_SCALE = {"tiny": 2.0, "world": 1.0, "paper": 7.5}  # the editors' own
SAMPLING = {
    "tiny": ["metrics=strength", "x=true_change", "y=strength"],
    "world": ["metrics=world", "count=16", "batch_size=8"],
    "paper": ["metrics=ip2p"],
}
METRICS = ("clip_direction", "clip_input", "true_change", "strength", "error", "success")


def runs(options: Options) -> list[Run]:
    found, checkpoint = shown_editor(options)
    pipeline, words = text_to_image(options)
    sweeps, text_scale = SWEEPS[options.size], TEXT_SCALE[options.size]
    overrides = [f"text_scales=[{text_scale}]", f"image_scales={_list(sweeps['ours'])}"]
    overrides += [f"baselines=[{','.join(SETTINGS)}]", *SAMPLING[options.size]]
    for editor, setting in SETTINGS.items():
        values = [f"baselines.{editor}.values={_list(sweeps[editor])}", f"baselines.{editor}.parameter={setting}"]
        overrides += [*values, *as_baseline(words, editor)]
    points = [{"editor": editor, "setting": value} for editor, values in sweeps.items() for value in values]
    return [*found, *pipeline, sweep(options, "tradeoff/figure8", points, checkpoint, *overrides)]


def _list(values: Sequence[float]) -> str:
    return f"[{','.join(map(str, values))}]"


def axes_of(table: Table) -> tuple[str, str]:
    """Axes of the figure: CLIP similarities where measured, else their pixel counterparts."""
    clip = any("clip_direction" in row.values for row in table.rows)
    return ("clip_direction", "clip_input") if clip else ("true_change", "strength")


def draw(table: Table) -> dict[str, Figure]:
    figure, (axis,) = new_figure(width=5.2, height=4.0)
    x, y = axes_of(table)
    draw_curves(axis, table, x, y, "editor", "setting", names=NAMES)
    labels = {"clip_direction": ("CLIP direction similarity", "CLIP similarity to the input")}
    axis.set_xlabel(labels.get(x, ("part of the true change", ""))[0])
    axis.set_ylabel(labels.get(x, ("", "change from the input [/255]"))[1])
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    x, y = axes_of(table)
    ours = table.where(editor="ours")
    nearer = "a larger s_I gives results nearer to the input"
    found = [ours.ordered(nearer, y, "setting", rising=y == "clip_input")]
    return [*found, *(table.above(f"ours lies above {editor}", x, y, "ours", editor) for editor in list(NAMES)[1:])]


STUDY = Study("ip2p_figure8", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
