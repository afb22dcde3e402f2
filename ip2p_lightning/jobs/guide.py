"""Texts of `ip2p --help` and `ip2p <job> --help`. Reads the configuration tree; imports nothing heavy."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ip2p_lightning.config import config_dir, config_name
from ip2p_lightning.jobs.tree import groups, headline, headlines, keys, options

_FORMATS = {"import": ("format=csv",), "export": ("format=jsonl",)}
"""The option whose keys the help of a command shows, unless another is given."""


@dataclass(frozen=True)
class Job:
    """One job's help.

    Args:
        summary: what it does, one line.
        examples: command lines after `ip2p `.
        commands: words that may follow the job, with what each does.
        keys: those inside its parts that people change most, with what each is.
    """

    summary: str
    examples: tuple[str, ...]
    commands: dict[str, str] | None = None
    keys: dict[str, str] = field(default_factory=dict)


JOBS = {
    "quickstart": Job(
        "render pairs, train a small model on the CPU, edit held-out images, write report.html (about 10 minutes)",
        ("quickstart", "quickstart minutes=2"),
    ),
    "train": Job(
        "train an editing model on pairs; leaves checkpoints, config.yaml, metrics.csv and images in its run folder",
        (
            "train experiment=mgie/tiny                         # seconds, random weights: does it run here?",
            "train experiment=ip2p/world stages.0.max_steps=800 # the embedded world on a CPU, 5 to 7 minutes",
            "train experiment=ip2p/world ckpt=auto              # go on with the newest checkpoint of this experiment",
            "train experiment=ip2p/world logger=wandb           # WANDB_MODE=offline needs no account",
            "train -m experiment=ip2p/tiny,mgie/tiny seed=1,2   # a grid of runs",
            "train experiment=ip2p/paper data.path=FOLDER plan=true  # memory, steps, hours and disk, before it starts",
        ),
        keys={
            "trainer.max_steps=N": "optimizer steps of all stages together",
            "stages.0.max_steps=N": "optimizer steps of the first stage (0, 1, ...)",
            "stages.0.trainable": "parameters that learn, with their learning rates: '{denoiser.*: {lr: 1e-4}}'",
            "data=shards data.path=FOLDER": "your own dataset, as `ip2p data import` or `ip2p data render` writes it",
            "data.batch_size=N": "pairs in a batch of one process",
            "data.transform.resolution=N": "side of the batch's images, in pixels",
            "data.workers=N": "loader processes of each training process",
            "trainer.precision=32-true": "arithmetic: 32-true, bf16-mixed, 16-mixed ...",
            "trainer.accumulate_grad_batches=N": "batches for each optimizer step",
            "trainer.val_check_interval=N": "how often to validate: batches, or a share of an epoch",
            "trainer.devices=N": "devices, with trainer=ddp or fsdp",
            "sampler.steps=N": "denoising steps of validation images and of the editor",
            "sampler.guidance.text_scale=X": "s_T of validation images and of the editor; image_scale likewise",
            "callbacks.checkpoint.save_top_k=-1": "keep every checkpoint",
            "logger.wandb.project=NAME": "with logger=wandb",
            "hydra.run.dir=FOLDER": "run folder",
        },
    ),
    "evaluate": Job(
        "score a checkpoint, another editor or another system's files on held-out pairs, against copying the input",
        (
            "evaluate checkpoint=instruct_pix2pix data=world",
            "evaluate checkpoint=[instruct_pix2pix,mgie] data=world count=100        # one table of both",
            "evaluate checkpoint=last.ckpt data=world_benchmark metrics=world   # counting, places, ...",
            "evaluate editor=outputs editor.path=FOLDER data=shards data.path=FOLDER metrics=magicbrush",
        ),
    ),
    "tradeoff": Job(
        "trade-off between the edit done and the input kept at every guidance scale, with other editors",
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
        "edit images again and again: error by turn and by frequency, through pixels, latents, the autoencoder alone",
        (
            "drift checkpoint=last.ckpt turns=6",
            "drift checkpoint=last.ckpt through=[pixels] text_scale=1.5 count=100",
        ),
    ),
    "checkpoints": Job(
        "runs by their checkpoints: trade-off, copy rate, dependence on image and text; was it trained too long?",
        (
            "checkpoints run=outputs/ip2p/world",
            "checkpoints run=outputs/ip2p/world data=shards data.path=data/mine count=100",
            "checkpoints run=[outputs/first,outputs/second]                # several runs in one table and figure",
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
    "benchmark": Job(
        "text-to-image systems over a prompt set: CLIP score and judged atoms by category, with sheets",
        (
            "benchmark systems='{ours: text_to_image}' count=20            # the embedded world, with exact answers",
            "benchmark prompts=drawbench drawbench=imagen.csv systems='{a: FOLDER, b: FOLDER2}' samples=8",
            "benchmark prompts=mine.jsonl systems='{a: FOLDER}' answerer='{model: NAME, url: URL}'",
        ),
    ),
    "audit": Job(
        "counterfactual grids through a system: parity gaps, soft erasure, stereotypes and skin tone, with tests",
        (
            "audit grid=world system=text_to_image samples=10",
            "audit grid=professions.json system=FOLDER classifier=labels.csv strict=true",
            "audit portraits=portraits.csv instructions=instructions.json checkpoint=last.ckpt card=exported/README.md",
        ),
    ),
    "study": Job(
        "let people choose between systems' images on a server's blind page; win rates, strengths and agreement",
        (
            "study serve systems='{ours: FOLDER, theirs: FOLDER2}' data=shards data.path=data/mine output=study",
            "study serve benchmark=outputs/benchmark output=study host=0.0.0.0",
            "study results output=study",
        ),
        {
            "serve": "make the study's folder unless it is there, and serve its page; each answer is stored at once",
            "results": "win rates by category, Bradley-Terry strengths and Krippendorff's alpha, with intervals",
        },
    ),
    "edit": Job(
        "edit an image or a folder of images with a checkpoint or a diffusers folder",
        (
            'edit checkpoint=mgie scene="a red castle by the sea" instruction="make it winter" output=out.png',
            'edit checkpoint=last.ckpt image=photo.jpg instruction="make it winter" output=out.png',
            "edit checkpoint=last.ckpt image=photos instruction='[make it night,add a boat]' seeds=[0,1] output=edited",
            "edit checkpoint=mgie image=jobs.csv output=edited overwrite=skip skip_failures=true sheet=true",
            'edit checkpoint=exported image=photo.jpg instruction="make it night" text_scale=5 output=night.png',
        ),
    ),
    "serve": Job(
        "serve models by OpenAI's images API, to its clients and programs written for it, until it is stopped",
        (
            "serve checkpoint=mgie                              # http://127.0.0.1:8000/v1, this machine alone",
            "serve checkpoint=[mgie,last.ckpt] text_to_image=text_to_image app=true",
            "serve checkpoint=exported host=0.0.0.0 capacity=128  # keys of clients: IP2P_API_KEYS",
        ),
    ),
    "sample": Job(
        "make images of captions with a cascade (Imagen), or begin with an image (SDEdit)",
        (
            'sample cascade=exported prompt="a red castle by the sea" output=castle.png',
            "sample cascade=[base.ckpt,sr256.ckpt] prompts=prompts.txt seeds=[0,1] output=sampled all_stages=true",
            'sample cascade=exported prompt="a bus" guidance="{base: 3}" noise_level="{sr256: 200}" output=bus.png',
            'sample cascade=exported image=photo.png strength=0.6 prompt="a castle at night" output=night.png',
        ),
    ),
    "app": Job(
        "edit in the browser: turns, masks, alternatives, feedback; follow a training",
        (
            "app                                               # the shipped MGIE at http://127.0.0.1:7860",
            "app checkpoint=last.ckpt preferences=preferences run=RUN",
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
            "import": "make such a dataset of files in another format; images keep their bytes",
            "export": "write a dataset in another format",
            "verify": "check every member against its checksum and decode it",
            "stats": "counts by kind and split, sizes and texts",
            "show": "an image of some pairs with their instructions",
            "doctor": "find swapped, misaligned, duplicated, unchanged and small pairs, and wrong texts",
            "align": "a dataset in which edited images lie as their originals do",
            "what-if": "how many pairs other thresholds would keep, with images at each",
        },
    ),
    "generate": Job(
        "make a dataset of edit pairs from captions: write instructions, make pairs, filter, say what will be visible",
        (
            "generate experiment=generate/tiny                  # seconds: does it run here?",
            "generate experiment=generate/world count=200       # the embedded world; the same command goes on",
            "generate experiment=generate/world trainer=ddp_cpu # two processes; torchrun and SLURM as for training",
            "generate experiment=generate/world executor=array  # a task of a job array: they come and go; or ray",
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
            "evaluate": "measure on held-out scenes, next to the card's figures",
            "card": "print a model's card",
            "add": "pack a trained checkpoint in half precision, measure it and write its card",
        },
    ),
    "export": Job(
        "turn a checkpoint into a folder that diffusers' and transformers' from_pretrained load; push it to the hub",
        (
            "export checkpoint=last.ckpt output=exported",
            "export checkpoint=last.ckpt output=exported push=you/editor dry_run=true  # what would be uploaded?",
            "export checkpoint=last.ckpt output=exported push=you/editor evaluation=evaluation licence=apache-2.0",
        ),
    ),
    "convert": Job(
        "turn published weights (original .ckpt, MGIE's release) into a folder to edit with and train from, and back",
        (
            "convert checkpoint=instruct-pix2pix-00-22000.ckpt output=ip2p dry_run=true  # every tensor accounted for?",
            "convert checkpoint=instruct-pix2pix-00-22000.ckpt output=ip2p",
            "convert checkpoint=ip2p output=instruct-pix2pix.safetensors dtype=float16   # back, as one file",
            "convert checkpoint=mgie_7b mllm=LLaVA-7B-v1 output=mgie dtype=float16",
        ),
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
            "Instruction-based image editing: train InstructPix2Pix, LGIE and MGIE, and edit images with the result.",
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


def job_help(name: str, words: Sequence[str] = ()) -> str:
    """The text of `ip2p <job> --help`, or of one command of it: `ip2p data import --help`.

    Args:
        name: of the job.
        words: what else was written: a command shows its own examples and keys, group=option the keys of that option.
    """
    job = JOBS[name]
    command = next((word for word in words if word in (job.commands or {})), None)
    subject = f"{name} {command}" if command else f"{name} <command>" if job.commands else name
    summary = (job.commands or {}).get(command or "", job.summary)
    lines = [f"usage: ip2p {subject} [key=value ...] [hydra flags]", "", summary]
    if job.commands and not command:
        lines += ["", f"commands (ip2p {name} <command> --help shows more):", *_listing(job.commands)]
    examples = [example for example in job.examples if not command or example.split()[1] == command]
    lines += ["", "examples:", *(f"  ip2p {example}" for example in examples)]
    if command or not job.commands:
        lines += ["", "keys:", *_listing(primary_keys(subject))]
    lines += ["", "keys of its parts that are changed most:", *_listing(job.keys)] if job.keys else []
    given = [word.partition("=") for word in (*words, *_FORMATS.get(command or "", ()))]
    for group, option in {group: option for group, _, option in reversed(given) if option in options(group)}.items():
        part = group.rsplit("/", 1)[-1]
        rows = [(f"{part}.{key.name}={key.value}", key.comment) for key in keys(_yaml(group, option))]
        lines += ["", f"keys of {group}={option}:", *_listing(rows)]
    for group, comment in groups(subject, {group: option for group, _, option in given}).items():
        rows = experiments(job=name) if group == "experiment" else headlines(group)
        lines += ["", f"{group}=... ({comment})" if comment else f"{group}=...", *_listing(rows)]
    lines += [
        "",
        f"A key inside a group is group.key=value; ip2p {subject} group=option --help lists those of an option.",
        "hydra flags: --cfg job (show the composed configuration), -m (a run for each combination of a=1,2 b=x,y),",
        "  --config-dir DIR (your own experiments next to ours), hydra.run.dir=DIR (where the run goes)",
    ]
    return "\n".join(lines)


def unknown_job(word: str) -> str:
    """Message for a first word that is no job."""
    close = difflib.get_close_matches(word, JOBS, n=1)
    hint = f"; did you mean `ip2p {close[0]}`?" if close else "."
    return f"ip2p: there is no job {word!r}{hint} The jobs are {', '.join(JOBS)}; `ip2p --help` describes them."


def subjects() -> list[str]:
    """Every job with a file in the configuration tree; one with commands once for each: "train", "data render"."""
    return [f"{name} {word}".strip() for name, job in JOBS.items() for word in job.commands or ("",)]


def experiments(folder: Path | None = None, job: str = "train") -> dict[str, str]:
    """Name -> headline of a job's experiments: `generate/...` are those of generate, all others train's."""
    root = (folder or config_dir()) / "experiment"
    generation = set((root / "generate").rglob("*.yaml"))
    paths = sorted(generation if job == "generate" else set(root.rglob("*.yaml")) - generation)
    return {path.relative_to(root).with_suffix("").as_posix(): headline(path) for path in paths}


def primary_keys(job: str) -> dict[str, str]:
    """key=value -> comment of the own top-level keys of a job, or of a command of it ("data render")."""
    rows = keys(config_dir() / f"{config_name(job)}.yaml")
    shown = (key for key in rows if key.value and "." not in key.name and key.name != "command")
    return {f"{key.name}={key.value}": key.comment for key in shown}


def _yaml(group: str, option: str) -> Path:
    return config_dir() / group / f"{option}.yaml"


def _listing(rows: Mapping[str, str] | Sequence[tuple[str, str]]) -> list[str]:
    """Two columns, the second wrapped."""
    items = list(rows.items() if isinstance(rows, Mapping) else rows)
    width = min(36, max((len(key) for key, _ in items), default=0))
    lines = []
    for key, text in items:
        first, *others = textwrap.wrap(text, 116 - width) or [""]
        lines += [f"  {key:<{width}}  {first}".rstrip(), *(f"  {'':<{width}}  {line}" for line in others)]
    return lines or ["  (none)"]
