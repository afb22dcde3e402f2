"""What `ip2p --help` and `ip2p <job> --help` print. Reads the configuration tree; imports nothing heavy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ip2p_lightning.config import config_dir


@dataclass(frozen=True)
class Job:
    """One job's help.

    Args:
        summary: what it does, one line.
        examples: command lines after `ip2p `.
        commands: words that may follow the job, with what each does.
        hydra: composes a configuration (else the job takes only what its examples show).
    """

    summary: str
    examples: tuple[str, ...]
    commands: dict[str, str] | None = None


JOBS = {
    "quickstart": Job(
        "render pairs, train a small model on the CPU, edit held-out pictures, write report.html (about 10 minutes)",
        ("quickstart", "quickstart minutes=2"),
    ),
    "train": Job(
        "train an editing model on pairs; leaves checkpoints, config.yaml, metrics.csv and pictures in its run folder",
        (
            "train experiment=mgie/tiny                         # seconds, random weights: does it run here?",
            "train experiment=ip2p/world stages.0.max_steps=800 # the embedded world on a CPU, 5 to 7 minutes",
            "train experiment=ip2p/world ckpt=auto              # go on with the newest checkpoint of this experiment",
            "train experiment=ip2p/world logger=wandb           # WANDB_MODE=offline needs no account",
            "train -m experiment=ip2p/tiny,mgie/tiny seed=1,2   # a grid of runs",
        ),
    ),
    "evaluate": Job(
        "score a checkpoint, another editor or files of another system on held-out pairs beside copying the input",
        (
            "evaluate checkpoint=instruct_pix2pix data=world",
            "evaluate checkpoint=[instruct_pix2pix,mgie] data=world count=100        # one table of both",
            "evaluate checkpoint=last.ckpt data=world_benchmark metrics=world   # counting, places, ...",
            "evaluate editor=outputs editor.path=FOLDER data=shards data.path=FOLDER metrics=magicbrush",
        ),
    ),
    "tradeoff": Job(
        "how much of the edit is done against how much of the input is kept, at every scale, beside other editors",
        (
            "tradeoff checkpoint=last.ckpt text_scales=[1.5] image_scales=[0.8,1,1.2,1.5]",
            "tradeoff checkpoint=[dropout0.ckpt,dropout10.ckpt] data=shards data.path=data/mine   # both in one figure",
            "tradeoff checkpoint=last.ckpt baselines=[copying,sdedit,prompt_to_prompt]",
        ),
    ),
    "compare": Job(
        "runs, evaluations or whole sweeps in one table: the settings in which they differ, against what they measured",
        (
            "compare runs=multirun/ip2p/tiny/2026-01-31_12-00-00     # the jobs of a sweep",
            "compare runs=[outputs/a,outputs/b] values=[val/editing_loss]",
        ),
    ),
    "drift": Job(
        "edit pictures again and again: error by turn and by frequency, through pixels, latents, the autoencoder alone",
        (
            "drift checkpoint=last.ckpt turns=6",
            "drift checkpoint=last.ckpt through=[pixels] text_scale=1.5 count=100",
        ),
    ),
    "checkpoints": Job(
        "a run by its checkpoints: trade-off, copy rate, dependence on picture and text; was it trained too long?",
        (
            "checkpoints run=outputs/ip2p/world",
            "checkpoints run=outputs/ip2p/world data=shards data.path=data/mine count=100",
        ),
    ),
    "calibrate": Job(
        "compare a metric's choices between systems with those of people: agreement and Cohen's kappa",
        ("calibrate choices=choices.csv marks='{ours: outputs/ours, theirs: outputs/theirs}' metric=vlm_overall",),
    ),
    "preference": Job(
        "let people choose between two systems' edits on a blind page, and count their choices",
        (
            "preference make systems='{ours: FOLDER, theirs: FOLDER2}' data=shards data.path=data/mine output=study",
            "preference read output=study answers=[anna.csv,bo.csv]",
        ),
        {
            "make": "write page.html, which names no system, and key.json, which does",
            "read": "win rates with intervals, by kind, and the choices for ip2p calibrate",
        },
    ),
    "edit": Job(
        "edit a picture or a folder of pictures with a checkpoint or a diffusers folder",
        (
            'edit checkpoint=mgie scene="a red castle by the sea" instruction="make it winter" output=out.png',
            'edit checkpoint=last.ckpt image=photo.jpg instruction="make it winter" output=out.png',
            "edit checkpoint=last.ckpt image=photos instruction='[make it night,add a boat]' seeds=[0,1] output=edited",
            "edit checkpoint=mgie image=jobs.csv output=edited overwrite=skip skip_failures=true sheet=true",
        ),
    ),
    "data": Job(
        "render or import pairs to shards, export them, check them, count them, look at them",
        (
            "data render data=world output=data/world        # training, validation and test pairs",
            "data render source=photos source.folder=photos output=data/photos splits='{train:0.9,test:0.1}'",
            "data import format=magicbrush path=MagicBrush/data output=data/magicbrush",
            "data export format=jsonl path=data/world output=exported",
            "data verify path=data/world",
            "data stats path=data/world",
            "data show path=data/world output=pairs.png       # or source=world, without a dataset",
            "data doctor path=data/mine output=checked resolution=256",
            "data align path=data/mine output=data/aligned",
            "data what-if path=generated/world/dataset output=thresholds.png",
        ),
        {
            "render": "write pairs as WebDataset shards with an index",
            "import": "make such a dataset of files in another format; pictures keep their bytes",
            "export": "write a dataset in another format",
            "verify": "check every member against its checksum and decode it",
            "stats": "counts by kind and split, sizes and texts",
            "show": "a picture of some pairs with their instructions",
            "doctor": "find swapped, misaligned, duplicated, unchanged and small pairs, and wrong texts",
            "align": "a dataset in which edited images lie as their originals do",
            "what-if": "how many pairs other thresholds would keep, with pictures at each",
        },
    ),
    "generate": Job(
        "make a dataset of edit pairs from captions: write instructions, make pairs, filter, say what will be visible",
        (
            "generate experiment=generate/tiny                  # seconds: does it run here?",
            "generate experiment=generate/world count=200       # the embedded world; the same command goes on",
            "generate experiment=generate/world trainer=ddp_cpu # two processes; torchrun and SLURM as for training",
            "generate experiment=generate/world plan=true       # what will it take?",
            "generate experiment=generate/world stages=[filter] filter.thresholds.direction=0.3",
        ),
    ),
    "zoo": Job(
        "the trained models that come with the package: list them, measure them, print their cards, add one",
        (
            "zoo list",
            "zoo evaluate name=judge                          # the figures of its card, taken again",
            "zoo card name=dual_encoder",
            "zoo add name=judge checkpoint=RUN/checkpoints/last.ckpt hours=0.3",
        ),
        {
            "list": "names, sizes and how each is made",
            "evaluate": "measure on held-out scenes, beside the card's figures",
            "card": "print a model's card",
            "add": "pack a trained checkpoint in half precision, measure it and write its card",
        },
    ),
    "export": Job(
        "turn a checkpoint into a folder that diffusers' and transformers' from_pretrained load",
        ("export checkpoint=last.ckpt output=exported",),
    ),
}


def overview() -> str:
    """The text of `ip2p --help`."""
    jobs = [f"  {name:<11} {job.summary}" for name, job in JOBS.items()]
    examples = [f"  ip2p {job.examples[0].split('#')[0].strip()}" for job in JOBS.values()]
    return "\n".join(
        [
            "usage: ip2p <job> [key=value ...] [hydra flags]",
            "",
            "Instruction-based image editing: train InstructPix2Pix, LGIE and MGIE, and edit pictures with the result.",
            "",
            "jobs (ip2p <job> --help tells more):",
            *jobs,
            "",
            "examples:",
            *examples,
            "",
            "experiments (ip2p train experiment=<name>):",
            *_listing(experiments()),
            "",
            "Every key=value changes one key of the job's configuration; ip2p <job> --cfg job shows all of it.",
            'Tab completion in bash: eval "$(ip2p completion bash)"',
            "--debug after the job shows the traceback of an error; --version shows the version.",
        ]
    )


def job_help(name: str) -> str:
    """The text of `ip2p <job> --help`."""
    job = JOBS[name]
    lines = [f"usage: ip2p {name} {'<command> ' if job.commands else ''}[key=value ...] [hydra flags]", "", job.summary]
    if job.commands:
        lines += ["", "commands:", *_listing(job.commands)]
    lines += ["", "examples:", *(f"  ip2p {example}" for example in job.examples)]
    if keys := primary_keys(name):
        lines += ["", f"keys of conf/{name}.yaml:", *_listing(keys)]
    groups = {group: ", ".join(options(group)) for group in primary_groups(name)}
    if groups:
        lines += ["", "groups (group=option; a key inside is group.key=value):", *_listing(groups)]
    lines += [
        "",
        "hydra flags: --cfg job (show the composed configuration), -m (a run for each combination of a=1,2 b=x,y),",
        "  --config-dir DIR (your own experiments beside ours), hydra.run.dir=DIR (where the run goes)",
    ]
    return "\n".join(lines)


def unknown_job(word: str) -> str:
    """What to say of a first word that is no job."""
    close = difflib.get_close_matches(word, JOBS, n=1)
    hint = f"; did you mean `ip2p {close[0]}`?" if close else ""
    return f"ip2p: there is no job {word!r}{hint} The jobs are {', '.join(JOBS)}; `ip2p --help` describes them."


def experiments(folder: Path | None = None, job: str = "train") -> dict[str, str]:
    """Name -> first comment line of a job's experiments: `generate/...` are those of generate, all others train's."""
    root = (folder or config_dir()) / "experiment"
    generation = set((root / "generate").rglob("*.yaml"))
    paths = sorted(generation if job == "generate" else set(root.rglob("*.yaml")) - generation)
    return {path.relative_to(root).with_suffix("").as_posix(): _first_comment(path) for path in paths}


def options(group: str) -> list[str]:
    """The options of a config group; none for what is no group."""
    root = config_dir() / group
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def primary_groups(job: str) -> list[str]:
    """The config groups that a job's defaults list names, in its order."""
    text = _primary(job)
    names = re.findall(r"^  - (?:optional |override )*/?([a-z_][\w/]*)(?:@[\w.]+)?:", text, flags=re.MULTILINE)
    return [name for name in dict.fromkeys(names) if (config_dir() / name).is_dir() and not name.startswith("hydra")]


def primary_keys(job: str) -> dict[str, str]:
    """Key -> "value: comment" of the job's own top-level scalars."""
    rows = re.findall(r"^([a-z]\w*):[ \t]*(\S[^#\n]*)#[ \t]*(.*)$", _primary(job), flags=re.MULTILINE)
    return {f"{key}={value.strip()}": comment for key, value, comment in rows}


def _primary(job: str) -> str:
    path = config_dir() / f"{job}.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _first_comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line), "")


def _listing(rows: dict[str, str] | Sequence[tuple[str, str]]) -> list[str]:
    items = list(rows.items() if isinstance(rows, dict) else rows)
    width = min(36, max((len(key) for key, _ in items), default=0))
    return [f"  {key:<{width}}  {text}".rstrip() for key, text in items] or ["  (none)"]
