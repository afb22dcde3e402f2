"""Wrong values of every job: each is named with its key and what is allowed, and nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.config import compose, config_dir
from ip2p_lightning.jobs.guide import JOBS, experiments, subjects
from ip2p_lightning.schema import as_written, check
from ip2p_lightning.schema.keys import ARGUMENTS, COMMON, kind_of
from ip2p_lightning.schema.kinds import INPUT, PLACE, allows, roles_of
from ip2p_lightning.schema.signatures import arguments

BASE = {
    "train": ["experiment=ip2p/tiny", "output_dir=x"],
    "train data=shards": ["experiment=ip2p/tiny", "output_dir=x", "data=shards", "data.path=x"],
    "train logger=wandb": ["experiment=ip2p/tiny", "output_dir=x", "logger=wandb", "cache=disk"],
    "evaluate editor=sdedit": ["editor=sdedit"],
    "generate generation/writer=endpoint": ["experiment=generate/tiny", "generation/writer=endpoint"],
    "data render source=photos": ["source=photos"],
}
"""What stands before the value, for jobs that it is not given alone to."""

COUNTS = ("0", "-1", "1.5", "abc", "[1]", "true", "1e23")
WRONG = {
    "edit": {
        "steps": (*COUNTS, "10001"),
        "batch_size": (*COUNTS, "null"),
        "resolution": ("0", "64.5", "100000", "big"),
        "text_scale": ("abc", "-1", "101", "nan", "inf", "[1]", "true"),
        "image_scale": ("abc", "-0.1", "1e9"),
        "seeds": ("random", "1.5", "1e23", "-1", "[1.5]", "[a]", "null", "99999999999999999999"),
        "size": ("no", "full", "64", "null"),
        "overwrite": ("null", "skip it", "2"),
        "weights": ("latest", "best", "EMA", "null"),
        "device": ("gpu", "cuda:x", "cuda:-1", "null", "0"),
        "checkpoint": ("[a,b]", "null", ""),
        "instruction": ("[null]", "{a: b}"),
        "output": ("null", "", "[a.png]", "a\0.png"),
        "image": ("{a: b}",),
    },
    "evaluate": {
        "seeds": ("3", "random", "[1.5]", "[-1]"),
        "steps": ("1.5", "0", "abc"),
        "text_scale": ("-3", "abc"),
        "image_scale": ("-3", "nan"),
        "count": ("abc", "0", "-2", "1.5"),
        "batch_size": ("0", "abc"),
        "split": ("all", "val", "null"),
        "missing": ("skip", "null"),
        "devices": ("0", "two"),
        "nodes": ("0",),
        "threads": ("-1", "0", "abc"),
        "show": ("-1", "few"),
        "intervals.confidence": ("0", "1", "95"),
        "intervals.resamples": ("0", "1.5"),
        "intervals.grouped_by": ("scene",),
    },
    "evaluate editor=sdedit": {"editor.strength": ("0", "1.5"), "editor.steps": ("0",), "editor.text_scale": ("-1",)},
    "tradeoff": {"text_scales": ("7.5", "[-1]", "[a]"), "rows": ("0",), "image_scales": ("null",), "seeds": ("0",)},
    "drift": {"turns": ("0", "six"), "through": ("pixels", "[pixel]"), "count": ("0",)},
    "checkpoints": {"run": ("null", ""), "text_scales": ("1",), "seed": ("-1",), "x": ("1.5",)},
    "compare": {"runs": ("null",), "values": ("loss",), "output": ("",)},
    "calibrate": {"margin": ("-1", "abc"), "higher_is_better": ("yes",), "confidence": ("0", "2"), "marks": ("x",)},
    "preference make": {"count": ("0",), "side": ("0",), "split": ("dev",), "seed": ("x",)},
    "preference read": {"answers": ("a.csv",), "resamples": ("0",)},
    "export": {"weights": ("mean",), "lora": ("r8",), "private": ("some",), "dry_run": ("1",), "limits": ("3",)},
    "convert": {"weights": ("mean",), "dtype": ("float8", "null"), "dry_run": ("1",), "vision": ("null",)},
    "sample": {
        "prompt": ("{a: b}",), "seeds": ("3", "[-1]"), "strength": ("0", "1.5"), "steps": ("0", "{base: 0}"),
        "guidance": ("-1", "abc"), "noise_level": ("1000", "-1"), "thresholding": ("some",), "quality": ("0", "101"),
    },
    "app": {
        "port": ("-1", "70000", "http"), "queue": ("0",), "timeout": ("0", "soon"), "max_megapixels": ("0",),
        "max_upload_mb": ("-1",), "batch_size": ("0",),
    },
    "serve": {
        "port": ("-1", "70000", "http"), "capacity": ("0",), "gather": ("-1",), "timeout": ("0",), "grace": ("-1",),
        "backend": ("kubernetes",), "replicas": ("0",), "gpus": ("-1",), "log": ("1",), "open": ("some",),
        "app": ("maybe",),
    },
    "benchmark": {
        "count": ("0",), "samples": ("0",), "steps": ("1.5",), "text_scale": ("-1",), "show": ("-1",),
        "resamples": ("0",), "batch_size": ("0",), "seed": ("-1",),
    },
    "audit": {
        "samples": ("0",), "alpha": ("0", "1", "often"), "strict": ("1",), "skin_by_colour": ("some",), "seed": ("-1",),
    },
    "study serve": {
        "port": ("-1", "70000"), "catch": ("-1",), "per_rater": ("0",), "most_raters": ("0",), "side": ("0",),
    },
    "study results": {"least_caught": ("-0.1", "2"), "resamples": ("0",)},
    "quickstart": {
        "minutes": ("0", "-1", "ten"),
        "start": ("random",),
        "longer": ("0",),
        "threads": ("0",),
        "precision": ("fp8", "64-true"),
    },
    "data import": {
        "workers": ("-1", "1.5"),
        "splits": ("0.9", "{train: 2}", "{train: most}"),
        "skip_failures": ("1",),
        "decode": ("null",),
    },
    "data show": {"count": ("0",), "columns": ("0",)},
    "data what-if": {"step": ("0", "-1"), "thresholds": ("0.3",), "keep": ("0",)},
    "data render source=photos": {"source.count": ("0",), "source.size": ("0", "1.5", "big"), "source.seed": ("-1",)},
    "generate": {
        "stages": ("triples", "[triple]"),
        "batch_size": ("0",),
        "pictures": ("gif",),
        "store_rejected": ("2", "-0.1"),
        "pilot": ("0",),
        "wait_minutes": ("0",),
        "plan": ("sure",),
        "splits": ("{train: 1.5}",),
        "trainer.devices": ("0", "many"),
    },
    "generate generation/writer=endpoint": {
        "writer.concurrency": ("0",), "writer.timeout": ("0",), "writer.attempts": ("0",),
    },
    "zoo add": {"count": ("0",), "size": ("0",), "hours": ("-1", "long"), "split": ("dev",)},
    "train": {
        "seed": ("-1", "1.5", "x", "99999999999", "null"),
        "threads": ("abc", "-1", "0", "1.5"),
        "compile": ("maybe", "1"),
        "channels_last": ("3",),
        "plan": ("sure",),
        "matmul_precision": ("tf32", "low"),
        "rate": ("0", "-1", "fast"),
        "init": ("[[a]]", "[[last.ckpt]]"),
        "data.batch_size": (*COUNTS, "null"),
        "data.eval_batch_size": ("0",),
        "data.workers": ("-1", "two"),
        "data.transform.flip": ("2", "-0.1", "often"),
        "data.transform.resolution": ("0", "64.5"),
        "optimizer.lr": ("-1", "0", "abc", "nan"),
        "optimizer.weight_decay": ("-1", "abc"),
        "optimizer.betas": ("0.9", "[0.9,1.0]", "[-1,0.9]"),
        "trainer.max_steps": ("1.5", "-2", "many"),
        "trainer.max_epochs": ("-2",),
        "trainer.accumulate_grad_batches": ("0", "-1", "1.5"),
        "trainer.gradient_clip_val": ("-1", "abc"),
        "trainer.precision": ("fp16", "8"),
        "trainer.accelerator": ("gpus", "0"),
        "trainer.devices": ("0", "-2", "many"),
        "trainer.num_nodes": ("0",),
        "trainer.limit_val_batches": ("-1", "1.5", "few"),
        "trainer.val_check_interval": ("0.0", "-1"),
        "trainer.log_every_n_steps": ("-1",),
        "sampler.steps": ("0", "1.5"),
        "sampler.guidance.text_scale": ("-1", "abc"),
        "sampler.guidance.start": ("-0.1", "2"),
        "dropout.text": ("1.5", "-1", "some"),
        "stages.0.max_steps": ("1.5", "abc"),
        "stages.0.warmup": ("-1",),
        "stages.0.decay": ("exponential",),
        "callbacks.ema.decay": ("1", "-0.1", "abc"),
        "callbacks.checkpoint.save_top_k": ("-2",),
        "callbacks.progress.interval": ("abc",),
        "denoiser.gradient_checkpointing": ("some",),
    },
    "train data=shards": {
        "data.path": ("null", ""),
        "data.size": ("0", "1.5"),
        "data.on_error": ("ignore",),
        "data.tail": ("keep",),
        "data.transform.fit": ("crop",),
        "data.one_per_group": ("1",),
        "data.access.timeout": ("0",),
        "data.access.attempts": ("0",),
        "data.decode_side": ("a",),
    },
    "train logger=wandb": {"logger.wandb.tags": ("mine",), "cache.limit_gb": ("0",), "cache.batch_size": ("0",)},
}  # fmt: skip
CASES = [(job, key, value) for job, keys in WRONG.items() for key, values in keys.items() for value in values]


def subject(job: str) -> str:
    """A job with its command, without the words of `BASE`."""
    return " ".join(word for word in job.split() if "=" not in word)


@cache
def composed(job: str) -> DictConfig:
    return compose(subject(job), BASE.get(job, []))


def changed(job: str, key: str, value: str) -> DictConfig:
    """The job's configuration with one value as the command line reads it; composing each anew would take minutes."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    word = as_written(subject(job), f"{key}={value}")
    read = OverridesParser.create().parse_overrides([word])[0].value()
    config = composed(job).copy()
    OmegaConf.update(config, key, str(read) if type(read).__name__ == "QuotedString" else read, force_add=True)
    return config


def test_there_are_enough_of_them():
    assert len(CASES) > 200
    assert {job.split()[0] for job in WRONG} == set(JOBS)


@pytest.mark.parametrize(("job", "key", "value"), CASES)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(job: str, key: str, value: str):
    with pytest.raises(ValueError, match=r"^[\w.]+=.* must be ") as caught:
        check(subject(job), changed(job, key, value))
    assert str(caught.value).startswith(f"{key}=")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("job", "key", "value"),
    [
        ("edit", "seeds", "3"),
        ("edit", "seeds", "[0,9223372036854775807]"),
        ("edit", "text_scale", "0"),
        ("edit", "device", "cuda:1"),
        ("train", "trainer.devices", "[0,2]"),
        ("train", "trainer.devices", "auto"),
        ("train", "trainer.val_check_interval", "500"),
        ("train", "trainer.limit_val_batches", "0"),
        ("train", "trainer.max_steps", "-1"),
        ("train", "optimizer.lr", "1"),
        ("train", "seed", "4294967295"),
        ("data import", "splits", "{train: 0.9, test: 0.1}"),
        ("data stats", "kinds", "[recolour,season]"),
        ("train data=shards", "data.path", "[a,s3://b/c]"),
    ],
)
def test_right_values_are_taken(job: str, key: str, value: str):
    check(subject(job), changed(job, key, value))


@pytest.mark.parametrize("name", [*experiments(), *experiments(job="generate")])
def test_every_experiment_passes(name: str):
    job = "generate" if name.startswith("generate/") else "train"
    compose(job, [f"experiment={name}", "output_dir=x"])


@pytest.mark.parametrize("job", subjects())
def test_every_key_of_a_job_has_a_kind(job: str):
    config = composed(job)
    values = OmegaConf.to_container(config, resolve=False)
    parts = {key for key, value in values.items() if "_target_" in str(value)}  # type: ignore[union-attr]
    groups = {path.name for path in config_dir().iterdir() if path.is_dir()} | {
        "base",
        "steps",
        "stages",
        "sets",
        "runs",
    }
    assert {key for key in values if kind_of(job, str(key)) is None} <= parts | groups | {"beside", "chains", "init"}


def test_a_name_is_no_path_where_a_list_would_hold_paths():
    kind = PLACE | list[INPUT] | None
    assert roles_of(kind, "text_to_image") == {"path"}
    assert roles_of(kind, ["base.ckpt", "sr256.ckpt"]) == {"input"}
    assert roles_of(dict[str, INPUT] | None, {"ours": "out"}) == {"input"}


def test_compose_checks_from_python():
    with pytest.raises(ValueError, match="batch_size=0 must be a whole number of at least 1"):
        compose("edit", ["batch_size=0"])


def test_types_come_from_constructors_without_importing_them():
    found = arguments("ip2p_lightning.data.datamodule.EditDataModule.from_shards")
    assert [allows(found["size"], value) for value in (3, None, 0.5, "3")] == [True, True, True, False]  # a share, too
    assert not allows(arguments("ip2p_lightning.evaluation.figures.IntervalSettings")["resamples"], 0.5)
    assert arguments("ip2p_lightning.zoo.load")  # exported by a package
    assert arguments("torch.optim.AdamW") == {}
    assert arguments("ip2p_lightning.no.such.Thing") == {}


def test_the_table_names_arguments_that_there_are():
    text = "".join(path.read_text(encoding="utf-8") for path in config_dir().rglob("*.yaml"))
    assert [name for name in [*ARGUMENTS, *COMMON] if f"{name}:" not in text] == []


def test_checking_imports_nothing_heavy():
    code = """
import sys
from ip2p_lightning.cli import main
assert main(["edit", "steps=1.5", "image=a", "instruction=b", "output=c", "checkpoint=mgie"]) == 2
assert main(["train", "experiment=ip2p/tiny", "data.batch_size=0"]) == 2
assert main(["evaluate", "seeds=3"]) == 2
assert main(["edit", "image=nowhere.png", "instruction=b", "output=c", "checkpoint=mgie"]) == 2
assert main(["export", "checkpoint=nowhere.ckpt", "output=c"]) == 2
heavy = {"torch", "numpy", "lightning", "diffusers", "transformers", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines()[-1] == "[]", printed.stderr
