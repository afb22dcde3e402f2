"""Folders of models, tables of pairs, and answers of servers."""

from __future__ import annotations

import functools
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from transformers import CLIPTextConfig, CLIPTextModel

from fuzz.data_readers import read_all, with_images
from fuzz.harness import Reader
from fuzz.inputs import damaged
from ip2p_lightning.config.sizes import SizeError, check_sizes
from ip2p_lightning.data.formats.table import Table
from ip2p_lightning.limits import LimitError
from ip2p_lightning.model_server import chat_text
from ip2p_lightning.models.folder_files import WeightsError
from ip2p_lightning.models.loading import load_model

_SIZES = {"vocab_size": 30, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}


@functools.cache
def _folder() -> dict[str, bytes]:
    """The files of a small text encoder."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        CLIPTextModel(CLIPTextConfig(**_SIZES, max_position_embeddings=6)).save_pretrained(folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


_NUMBERS = st.integers() | st.sampled_from([-1, 0, 1, 2, 10**6, 10**9, 2**31, 2**63, 10**30])
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)
_MORE = (
    "num_labels",
    "id2label",
    "dtype",
    "model_type",
    "quantization_config",
    "hidden_act",
    "auto_map",
    "sample_size",
)


@st.composite
def _configs(draw: st.DrawFn) -> bytes:
    """A configuration with some values replaced, removed or added."""
    config: dict[str, Any] = json.loads(_folder()["config.json"])
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*config, *_MORE]))
        if draw(st.integers(0, 5)):
            config[name] = draw(_VALUES)
        else:
            config.pop(name, None)
    return json.dumps(config).encode()


def _read_folder(files: dict[str, bytes], folder: Path) -> None:
    for name, data in {**_folder(), **files}.items():
        (folder / name).write_bytes(data)
    model = load_model(CLIPTextModel, folder)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    """Sound weights under a header with some entries changed, or damaged bytes."""
    data = _folder()["model.safetensors"]
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(list(header)))
        header[draw(st.sampled_from([name, "__metadata__", "more"]))] = draw(
            _VALUES | st.fixed_dictionaries({"dtype": st.sampled_from(["F32", "I64", "F8_E4M3", "Z"]),
                                             "shape": st.lists(_NUMBERS, max_size=3),
                                             "data_offsets": st.lists(_NUMBERS, max_size=3)})
        )  # fmt: skip
    text = json.dumps(header).encode()
    stated = draw(st.sampled_from([len(text)] * 4 + [0, 1, 2**30, 2**62]))
    return struct.pack("<Q", stated) + text + data[8 + size :]


_ROWS = ["original_image,edited_image,instruction,caption", "a.png,b.png,do,c", 'a.png,b.png,"do, more",c']


def _read_table(data: bytes, folder: Path) -> None:
    file = with_images(folder) / "pairs.csv"
    file.write_bytes(data)
    read_all(Table().open(file), folder)


_CELLS = st.lists(
    st.sampled_from(
        ["a.png", "b.png", "../secret.png", "out.png", "/etc/passwd", "NONE", "nan", '"', "\x1b[31m", "=1+1"]
    )
    | st.text(max_size=8),
    max_size=5,
).map(",".join)
_CSV = st.lists(_CELLS, max_size=4).map(lambda rows: "\n".join([*_ROWS, *rows]).encode("utf-8", "surrogateescape"))
_ANSWER = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
).encode()


def _read_answer(data: bytes, folder: Path) -> None:
    assert isinstance(chat_text(data), str)


def _sizes(value: Any, folder: Path) -> None:
    check_sizes(value, "config")


FOLDER_READERS = {
    "model_config": Reader(
        (_configs() | damaged([_folder()["config.json"]])).map(lambda data: {"config.json": data}),
        _read_folder, (WeightsError, LimitError),
    ),
    "safetensors": Reader(
        (_headers() | damaged([_folder()["model.safetensors"]])).map(lambda data: {"model.safetensors": data}),
        _read_folder, (WeightsError, LimitError),
    ),
    "csv": Reader(_CSV | damaged(["\n".join(_ROWS).encode()]), _read_table, (ValueError, FileNotFoundError)),
    "answer": Reader(
        damaged([_ANSWER]) | st.just(b"[" * 10**5) | _VALUES.map(
            lambda value: json.dumps({"choices": [value, {"message": {"content": value}}]}).encode()
        ),
        _read_answer, (ValueError,),
    ),
    "sizes": Reader(
        st.dictionaries(st.sampled_from([*_SIZES, *_MORE, "scaling_factor", "beta_end", "trained_betas"]), _VALUES),
        _sizes, (SizeError, LimitError),
    ),
}  # fmt: skip
"""By name."""
