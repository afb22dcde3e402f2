"""Checks of a job before anything heavy is imported: values, files, outputs, devices, each named with the remedy."""

from __future__ import annotations

import ctypes
import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ip2p_lightning import schema, shipped
from ip2p_lightning.config import walk
from ip2p_lightning.jobs.tree import options
from ip2p_lightning.schema.check import values
from ip2p_lightning.schema.keys import kind_of
from ip2p_lightning.schema.kinds import roles_of


def check(job: str, config: DictConfig) -> None:
    """Check a job's configuration, its inputs, its outputs and its device; takes some milliseconds.

    Args:
        job: name of the job, with its command if it has any.
        config: composed.

    Raises:
        ValueError: a key without a value, a value that is not allowed, an output in the way, no such device.
        FileNotFoundError: an input that is not there.
    """
    _check_complete(config)
    schema.check(job, config)
    if own := _OWN.get(job.partition(" ")[0]):
        own(config)
    for key, value, _ in values(config):
        kind = kind_of(job, key)
        role = roles_of(kind, value) if kind is not None else set()
        several = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
        for text in filter(lambda each: isinstance(each, str), several):
            if "input" in role and not (key == "data.path" and job == "train" and config.plan):
                check_input(key, text)
            if "model" in role:
                check_model(key, text)
            if "output" in role:
                check_output(key, Path(text))
            if key in ("device", "trainer.accelerator"):
                check_device(key, text)


def check_input(key: str, value: str) -> None:
    """See that a local path leads to something; `ckpt=auto` and addresses are left to who opens them."""
    if "://" in value or (key == "ckpt" and value == "auto") or os.path.exists(value):
        return
    file = Path(value)
    beside = os.listdir(file.parent) if file.parent.is_dir() else []
    close = difflib.get_close_matches(file.name, beside, n=1)
    hint = f"; did you mean {file.parent / close[0]}?" if close else ""
    if key == "data.path":
        hint = hint or "; make a dataset there with `ip2p data import` or `ip2p data render`"
    if key == "checkpoint" and (name := value.removeprefix(shipped.PREFIX)) in shipped.NAMES:
        raise FileNotFoundError(
            f"{key}={value} comes with the package as what from_pretrained opens, in {shipped.WEIGHTS / name}; "
            "give the .ckpt of a run of yours"
        )
    if key == "ckpt":
        raise FileNotFoundError(
            f"{key}={value} is no file; give a checkpoint's path, or ckpt=auto for the newest{hint}"
        )
    raise FileNotFoundError(f"{key}={value} does not exist{hint}")


def check_model(key: str, value: str) -> None:
    """See that a model is a file, a folder, an editor that comes with the package, or could be a name of the hub."""
    path = Path(value)
    if path.exists() or value.removeprefix(shipped.PREFIX) in shipped.EDITORS or "://" in value:
        return
    if path.suffix != ".ckpt" and len(path.parts) == 2 and not path.is_absolute() and not path.parent.is_dir():
        return  # owner/name
    close = difflib.get_close_matches(value, shipped.EDITORS, n=1)
    hint = f"; did you mean {close[0]}? Give" if close else "; give"
    raise FileNotFoundError(
        f"{key}={value} does not exist{hint} a .ckpt, a folder, a hub name, or one of {', '.join(shipped.EDITORS)} for "
        "the editors that come with the package"
    )


def check_output(key: str, output: Path) -> None:
    """See that an output can be written: the nearest folder above it that is there takes files."""
    there = next((folder for folder in (output, *output.absolute().parents) if folder.exists()), Path("/"))
    if there != output and not there.is_dir():
        raise ValueError(f"{key}={output} cannot be made: {there} is a file; choose another {key}")
    if not os.access(there, os.W_OK):
        raise ValueError(f"{key}={output} cannot be written: no permission to write to {there}; choose another {key}")


def check_device(key: str, device: str) -> None:
    """See that a CUDA device is there, by asking the driver itself: torch would take seconds to say so."""
    name, _, index = device.partition(":")
    wanted = {"gpu", "cuda"} if key == "trainer.accelerator" else {"cuda"}
    if name not in wanted or sys.platform != "linux" or os.path.exists("/dev/kfd"):  # AMD's are called cuda, too
        return
    count = _cuda_devices()
    instead = "trainer=cpu" if key == "trainer.accelerator" else f"{key}=cpu"
    if count == 0:
        raise ValueError(f"{key}={device}: this machine shows no CUDA device or no driver for it; use {instead}")
    if index and int(index) >= count:
        raise ValueError(f"{key}={device}: this machine shows {count} CUDA device(s), numbered from 0")


def _cuda_devices() -> int:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    good = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if good else 0


def _check_complete(config: DictConfig) -> None:
    written = walk(OmegaConf.to_container(config, resolve=False))
    missing = [key for key, value in written if value == "???"]
    if missing:
        needs = "needs a value" if len(missing) == 1 else "need values"
        raise ValueError(f"{', '.join(missing)} {needs}: {' '.join(f'{key}=...' for key in missing)}")


def _edit(config: DictConfig) -> None:
    if (config.image is None) == (config.scene is None):
        raise ValueError(
            "edit takes either image=... (an image, a folder or a list), or scene=... (words that the embedded world "
            'can draw, such as scene="a red castle by the sea at night")'
        )
    table = isinstance(config.image, str) and config.image.lower().endswith((".csv", ".tsv", ".jsonl"))
    if config.instruction is None and not table:
        raise ValueError('instruction needs a value: say what to change, for example instruction="make it winter"')
    given = config.instruction
    instructions = [] if given is None else [given] if isinstance(given, str) else list(given)
    for index, instruction in enumerate(instructions):
        if not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {len(instructions)} is empty; say what to change, for example "
                'instruction="make it winter"'
            )
    _edit_output(Path(config.output), bool(config.overwrite))


def _edit_output(output: Path, overwrite: bool) -> None:
    from PIL import Image

    formats = Image.registered_extensions()
    ending = output.suffix.lower()
    if output.is_dir():
        return
    if ending in formats and formats[ending] not in Image.SAVE:
        raise ValueError(f"output={output}: {ending} files cannot be written; name a .png, .jpg, .webp or .tiff")
    if output.is_file() and ending not in formats:
        raise ValueError(f"output={output} is a file, and not named like an image; name an image or a folder")
    if output.is_file() and not overwrite:
        raise ValueError(f"{output} exists already; choose another output, or overwrite=true")


def _export(config: DictConfig) -> None:
    output = Path(config.output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"output={output} exists already; choose a new folder, or remove it")


def _checkpoints(config: DictConfig) -> None:
    for run in [config.run] if isinstance(config.run, str) else config.run:
        if not any(Path(run).rglob("[!.]*.ckpt")):
            raise FileNotFoundError(f"run={run} holds no checkpoints; give the folder of a run of `ip2p train`")


def _data(config: DictConfig) -> None:
    pairs = "a dataset folder, or files with format=..., e.g. path=data/mine"
    needs = {
        "render": {"output": "the dataset folder to make, e.g. output=data/world"},
        "import": {
            "path": "the files to import, e.g. path=MagicBrush/data",
            "output": "the dataset folder to make, e.g. output=data/mine",
            "format": f"which layout the files have, one of {', '.join(options('format'))}",
        },
        "export": {
            "path": "the dataset folder, e.g. path=data/world",
            "output": "the folder to make, e.g. output=exported",
            "format": f"which layout the files have, one of {', '.join(options('format'))}",
        },
        "verify": {"path": "the dataset folder, e.g. path=data/world"},
        "stats": {"path": "the dataset folder, e.g. path=data/world"},
        "show": {"output": "the image to write, e.g. output=pairs.png"},
        "what-if": {"path": "the dataset folder, e.g. path=generated/world/dataset"},
        "doctor": {"path": pairs},
        "align": {"path": pairs, "output": "the dataset folder to make, e.g. output=data/aligned"},
    }
    for key, what in needs[config.command].items():
        if not config.get(key):
            raise ValueError(f"{key} is missing: {what}")
    if config.get("encoder") and ":" not in config.encoder and not Path(config.encoder).is_dir():
        raise FileNotFoundError(
            f"encoder={config.encoder} is no folder; give zoo:dual_encoder, a folder that open_clip wrote, or NAME:TAG "
            "of its list, such as ViT-B-32-quickgelu:openai"
        )
    making = config.command in ("render", "import", "align") and not config.overwrite
    if making and Path(config.output).exists() and "://" not in config.output:
        raise ValueError(f"{config.output} exists already; choose another output, or overwrite=true to replace it")


def _zoo(config: DictConfig) -> None:
    if config.name is not None and config.name not in shipped.NAMES:
        raise ValueError(f"name={config.name}: the zoo has no {config.name!r}; it has {', '.join(shipped.NAMES)}")


_OWN: dict[str, Callable[[DictConfig], None]] = {
    "edit": _edit,
    "export": _export,
    "convert": _export,
    "checkpoints": _checkpoints,
    "data": _data,
    "zoo": _zoo,
}
