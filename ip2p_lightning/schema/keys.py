"""The table of keys: what each key of each job may be. A key means the same in every job unless the job says otherwise.

Types of arguments of the package's own parts come from their constructors (`signatures`); here are their ranges.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Literal

from ip2p_lightning.schema.kinds import FLAG, INPUT, MODEL, OUTPUT, PATH, TEXT, WORD, number, whole, written

SEED = whole(0, 2**32 - 1)
NOISE = whole(0, 2**63 - 1)
SCALE = number(0, 100)
SHARE = number(0, 1)
SIDE = whole(1, 8192)
SOME = whole(1)
ANY = whole(0)
SPLITS = dict[str, SHARE] | None
TRUE_SPLIT = Literal["train", "validation", "test"]
PRECISION = Literal[
    "auto", "32-true", "32", "16-mixed", "16-true", "16", "bf16-mixed", "bf16-true", "bf16", "64-true", "64",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip

ARITHMETIC = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Of editors, whose weights stay as they are."""
VARIANT = Literal["fp16", "non_ema", "bin"] | None

COMMON: dict[str, Any] = {
    "seed": SEED,
    "seeds": list[NOISE],
    "batch_size": SOME,
    "count": SOME | None,
    "steps": SOME | None,
    "text_scale": SCALE | None,
    "image_scale": SCALE | None,
    "text_scales": list[SCALE],
    "image_scales": list[SCALE],
    "resolution": SIDE | None,
    "checkpoint": MODEL,
    "output": OUTPUT,
    "output_dir": OUTPUT,
    "weights": Literal["ema", "raw"],
    "trust": list[TEXT],
    "precision": ARITHMETIC,
    "device": written(r"^(auto|cpu|(cuda|xpu|hpu|npu)(:\d+)?|mps|meta)$", "auto, cpu, cuda, cuda:N, xpu or mps"),
    "devices": SOME,
    "nodes": SOME,
    "threads": whole(1, 4096) | None,
    "split": TRUE_SPLIT,
    "missing": Literal["error", "gap"],
    "show": ANY,
    "worst": ANY,
    "kinds": ANY,
    "rows": SOME,
    "x": WORD | None,
    "y": WORD | None,
    "overwrite": FLAG,
    "workers": whole(0, 4096),
    "splits": SPLITS,
    "licence": TEXT,
    "resamples": SOME,
    "confidence": number(above=0, below=1),
    "side": SIDE,
    "columns": SOME,
}
"""Top-level keys, for every job that has them."""

JOBS: dict[str, dict[str, Any]] = {
    "train": {
        "steps": dict[str, ANY] | SOME | None,
        "ckpt": INPUT | None,
        "base": MODEL,
        "base_model": PATH,
        "base_variant": VARIANT,
        "init": PATH | dict[str, Any] | list[PATH | dict[str, Any]] | None,
        "compile": FLAG,
        "channels_last": FLAG,
        "optimized_metric": WORD | None,
    },
    "edit": {
        "image": INPUT | list[INPUT] | None,
        "scene": TEXT | list[TEXT] | None,
        "instruction": TEXT | list[TEXT] | None,
        "mask": INPUT | None,
        "overwrite": FLAG | Literal["skip"],
        "skip_failures": FLAG,
        "quality": whole(1, 100),
        "sheet": FLAG,
        "animation": FLAG,
        "seeds": NOISE | list[NOISE],
        "size": Literal["input", "model"],
    },
    "evaluate": {"checkpoint": MODEL | list[MODEL] | None},
    "tradeoff": {"checkpoint": MODEL | list[MODEL]},
    "checkpoints": {"run": INPUT},
    "compare": {"runs": INPUT | list[INPUT], "values": list[WORD] | None},
    "drift": {"turns": SOME, "through": list[Literal["pixels", "latents", "autoencoder"]]},
    "calibrate": {
        "choices": INPUT,
        "marks": dict[str, INPUT],
        "metric": WORD,
        "higher_is_better": FLAG,
        "margin": number(0),
        "output": OUTPUT | None,
    },
    "preference": {
        "command": Literal["make", "read"],
        "systems": dict[str, INPUT] | None,
        "answers": list[INPUT],
        "key": PATH,
        "count": SOME,
    },
    "data": {
        "command": Literal["render", "import", "export", "verify", "stats", "show", "what-if", "doctor", "align"],
        "resolution": SIDE,
        "fit": Literal["squash", "centre_crop"],
        "alignment": FLAG,
        "max_shift": number(above=0),
        "strict": FLAG,
        "path": INPUT | None,
        "output": OUTPUT | None,
        "default_splits": SPLITS,
        "skip_failures": FLAG,
        "decode": FLAG | None,
        "prefix": TEXT | None,
        "split": WORD | None,
        "kinds": list[TEXT] | TEXT | None,
        "count": SOME,
        "thresholds": dict[str, number()] | None,
        "keep": SOME | None,
        "step": number(above=0),
        "score": WORD,
    },
    "generate": {
        "stages": list[Literal["triples", "pairs", "filter", "expressive"]],
        "triples_file": INPUT | None,
        "triples_batch_size": SOME,
        "expressive_batch_size": SOME,
        "pictures": Literal["png", "jpg"],
        "store_rejected": SHARE,
        "plan": FLAG,
        "pilot": SOME,
        "rates_from": INPUT | None,
        "wait_minutes": number(above=0),
        "splits": dict[str, SHARE],
    },
    "zoo": {
        "command": Literal["list", "evaluate", "card", "add"],
        "name": WORD | None,
        "root": PATH | None,
        "split": TRUE_SPLIT,
        "count": SOME,
        "size": SIDE,
        "checkpoint": INPUT | None,
        "hours": number(above=0) | None,
        "machine": TEXT | None,
    },
    "export": {"checkpoint": INPUT, "lora": FLAG},
    "quickstart": {
        "folder": OUTPUT,
        "start": Literal["shipped", "nothing"],
        "minutes": number(above=0),
        "longer": number(above=0),
        "reserve": number(0),
        "calibration_steps": SOME,
        "size": SIDE,
        "photo_kinds": list[WORD] | None,
    },
}
"""Top-level keys that one job alone has, or that mean something else in it."""

PATTERNS: dict[str, Any] = {
    "hydra.*.dir": OUTPUT,
    "data.path": INPUT | list[INPUT],
    "data.*.path": INPUT | list[INPUT] | None,
    "data.*.folder": INPUT | None,
    "source.path": INPUT | list[INPUT] | None,
    "source.folder": INPUT | None,
    "captions.path": INPUT | list[INPUT] | None,
    "editor.path": INPUT,
    "dropout.*": SHARE,
    "*guidance.start": SHARE,
    "*guidance.stop": SHARE,
    "callbacks.ema.decay": number(0, below=1),
    "stages.*.decay": Literal["constant", "linear", "cosine"],
    "stages.*.loss_weights.*": number(0),
    "stages.*.warmup": number(0),
    "stages.*.trainable.*.lr": number(0),
    "optimizer.betas": list[number(0, below=1)],
    "trainer.devices": Literal["auto"] | whole(1) | Literal[-1] | list[ANY] | written(r"^\d+(,\d+)*$", "indices"),
    "trainer.accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu", "xpu"],
    "trainer.limit_*_batches": SHARE | ANY | None,
    "trainer.val_check_interval": number(above=0, most=1) | SOME | dict[str, Any] | WORD | None,
    "*.access.cache_bytes": SOME,
    "*.access.timeout": number(above=0),
    "*.access.backoff": number(0),
    "objective.weights": list[Any] | dict[str, Any] | None,
    "metrics.*.batch_size": SOME,
}
"""Keys inside the parts of a job, by pattern; the first that fits counts before `ARGUMENTS`."""

ARGUMENTS: dict[str, Any] = {
    "batch_size": SOME,
    "eval_batch_size": SOME | None,
    "workers": whole(0, 4096),
    "count": SOME | None,
    "size": SOME | number(above=0, most=1) | None,
    "eval_size": SOME | number(above=0, most=1) | None,
    "resolution": SIDE | None,
    "min_size": SIDE | None,
    "max_size": SIDE | None,
    "steps": SOME | None,
    "text_scale": SCALE | None,
    "image_scale": SCALE | None,
    "seed": SEED | None,
    "selection_seed": SEED,
    "lr": number(above=0),
    "learning_rate": number(above=0),
    "weight_decay": number(0),
    "max_steps": whole(-1),
    "max_epochs": whole(-1) | None,
    "accumulate_grad_batches": SOME,
    "log_every_n_steps": SOME | None,
    "check_val_every_n_epoch": SOME | None,
    "num_nodes": SOME,
    "num_sanity_val_steps": whole(-1),
    "gradient_clip_val": number(0) | None,
    "precision": PRECISION,
    "every_n_train_steps": ANY,
    "save_top_k": whole(-1),
    "flip": SHARE,
    "confidence": number(above=0, below=1),
    "resamples": SOME,
    "strength": number(above=0, most=1),
    "self_share": SHARE,
    "cross_share": SHARE,
    "temperature": number(0),
    "top_p": number(above=0, most=1),
    "attempts": SOME,
    "concurrency": SOME,
    "timeout": number(above=0),
    "candidates": SOME,
    "rank": SOME,
    "limit_gb": number(above=0),
    "max_new_tokens": SOME,
    "layers": SOME,
    "heads": SOME,
    "width": SOME,
    "patch_size": SOME,
    "num_train_timesteps": SOME,
    "expressive_probability": SHARE,
    "missing": Literal["error", "gap"],
    "tail": Literal["drop", "strict"],
    "path": PATH | list[PATH] | None,
    "folder": PATH | None,
    "root": PATH | None,
    "images": PATH | None,
    "cache_folder": PATH | None,
    "checkpoint": PATH | None,
    "weights": PATH | dict[str, Any] | None,
    "variant": VARIANT,
    "dtype": Literal["float32", "float16", "bfloat16"] | None,
    "dirpath": PATH,
    "save_dir": PATH,
    "licence": TEXT,
    "project": TEXT | None,
    "template": TEXT,
    "request": TEXT,
    "text": TEXT | list[TEXT] | number() | None,
    "url": TEXT,
    "tags": list[TEXT] | None,
}
"""Arguments of parts by their name, which means the same in all of them."""

ELSEWHERE = {
    "guidance_scale": ("text_scale",),
    "cfg_scale": ("text_scale",),
    "image_guidance_scale": ("image_scale",),
    "num_inference_steps": ("steps",),
    "inference_steps": ("steps",),
    "prompt": ("instruction",),
    "edit": ("instruction",),
    "num_images_per_prompt": ("seeds",),
    "generator": ("seeds", "seed"),
    "random_seed": ("seed", "seeds"),
    "model": ("checkpoint",),
    "pretrained_model_name_or_path": ("checkpoint",),
    "resume": ("ckpt",),
    "resume_from_checkpoint": ("ckpt",),
    "input": ("image", "path"),
    "out": ("output",),
    "output_path": ("output",),
    "epochs": ("trainer.max_epochs",),
    "num_epochs": ("trainer.max_epochs",),
    "max_train_steps": ("trainer.max_steps",),
    "learning_rate": ("optimizer.lr",),
    "lr": ("optimizer.lr",),
    "train_batch_size": ("data.batch_size",),
    "gradient_accumulation_steps": ("trainer.accumulate_grad_batches",),
    "mixed_precision": ("trainer.precision",),
    "gpus": ("trainer.devices", "devices"),
    "num_workers": ("data.workers", "workers"),
    "wandb": ("logger",),
}
"""Names that other programs use -> ours, of which a job has at most the first that is there."""


def kind_of(job: str, key: str) -> Any | None:
    """What a key may be; None for one that the table says nothing of.

    Args:
        job: name of the job.
        key: dotted, with indices of lists as numbers: "stages.0.max_steps".
    """
    if "." not in key:
        own = JOBS.get(job, {})
        return own[key] if key in own else COMMON.get(key)
    for pattern, kind in PATTERNS.items():
        if fnmatchcase(key, pattern):
            return kind
    return ARGUMENTS.get(key.rsplit(".", 1)[-1])
