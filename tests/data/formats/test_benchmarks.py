"""The benchmarks' folders are read as their authors lay them out; what cannot be used is counted, never hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.formats.edit_requests import EVRSource, GIERSource, MA5kSource
from ip2p_lightning.data.formats.emu_edit import EmuEditSource
from ip2p_lightning.data.formats.magicbrush import MagicBrushSource
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.editors.precomputed import FolderOutputs


def save(path: Path, seed: int, size: tuple[int, int] = (16, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def magicbrush(tmp_path: Path) -> Path:
    """Two sessions, of three turns and of one, as in the authors' test folder."""
    sessions: dict[str, list[dict[str, Any]]] = {}
    captions: dict[str, dict[str, str]] = {}
    for key, turns in (("139", 3), ("30", 1)):
        folder = tmp_path / "images" / key
        save(folder / f"{key}-input.png", int(key))
        sessions[key], captions[key] = [], {f"{key}-input.png": "before"}
        for turn in range(1, turns + 1):
            names = {what: f"{key}-{what}{turn}.png" for what in ("output", "mask")}
            edited = save(folder / names["output"], int(key) + turn)
            hole = Image.fromarray(pixels(edited)).convert("RGBA")
            hole.paste((0, 0, 0, 0), (0, 0, 4, 12))
            hole.save(folder / names["mask"])
            before = f"{key}-input.png" if turn == 1 else f"{key}-output{turn - 1}.png"
            sessions[key].append({"input": before, **names, "instruction": f"do {turn}"})
            captions[key][names["output"]] = f"after {turn}"
    (tmp_path / "edit_sessions.json").write_text(json.dumps(sessions))
    (tmp_path / "global_descriptions.json").write_text(json.dumps(captions))
    return tmp_path


def test_magicbrush_turn_by_turn(magicbrush: Path):
    source = MagicBrushSource(magicbrush)
    assert isinstance(source, PairSource)
    assert source.column("id") == ["139-1", "139-2", "139-3", "30-1"]
    assert source.groups == ["139", "139", "139", "30"]
    pair = source[1]
    assert (pair.instruction, pair.original_caption, pair.edited_caption) == ("do 2", "after 1", "after 2")
    assert np.array_equal(np.asarray(pair.original_image), pixels(magicbrush / "images/139/139-output1.png"))
    assert np.array_equal(np.asarray(pair.edited_image), pixels(magicbrush / "images/139/139-output2.png"))
    expected = np.zeros((12, 16), np.uint8)
    expected[:, :4] = 255  # the hole
    assert np.array_equal(np.asarray(pair.mask), expected)


def test_magicbrush_sessions(magicbrush: Path):
    source = MagicBrushSource(magicbrush, turns="multi")
    assert source.column("id") == ["139-3", "30-1"]
    pair = source[0]
    assert pair.instruction.splitlines() == ["do 1", "do 2", "do 3"]
    assert np.array_equal(np.asarray(pair.original_image), pixels(magicbrush / "images/139/139-input.png"))
    assert np.array_equal(np.asarray(pair.edited_image), pixels(magicbrush / "images/139/139-output3.png"))
    assert (pair.original_caption, pair.edited_caption, pair.mask) == ("before", "after 3", None)


def test_outputs_of_magicbrushs_own_scripts_are_found(magicbrush: Path, tmp_path: Path):
    results = tmp_path / "results"
    for name in ("139/139_1", "139/139_inde_2", "139/139_inde_3", "139/139_iter_2", "139/139_iter_3", "30/30_1"):
        save(results / f"{name}.png", len(name))
    single = FolderOutputs(results, names=["{0}/{0}_inde_{1}", "{0}/{0}_{1}"])
    multi = FolderOutputs(results, names=["{0}/{0}_iter_{1}", "{0}/{0}_{1}"])
    assert len(single.answered(MagicBrushSource(magicbrush))) == 4
    assert len(multi.answered(MagicBrushSource(magicbrush, turns="multi"))) == 2
    assert multi.find("139-3") == results / "139/139_iter_3.png"


def test_what_cannot_be_used_is_counted_and_named(magicbrush: Path):
    save(magicbrush / "images/139/139-output2.png", 1, (20, 12))
    (magicbrush / "images/30/30-output1.png").unlink()
    source = MagicBrushSource(magicbrush)
    assert source.column("id") == ["139-1"]
    assert source.left_out.counts == {"images differ in size": 2, "an image is missing": 1}
    assert "3 of 4 left out: 2 x images differ in size, 1 x an image is missing" in source.name
    with pytest.raises(ValueError, match=r"session 139 turn 2: images differ in size \(original 16 x 12, edited 20"):
        MagicBrushSource(magicbrush, unusable="error")
    resized = MagicBrushSource(magicbrush, resize=True)
    assert resized[resized.column("id").index("139-2")].edited_image.size == (16, 12)  # type: ignore[union-attr]


def test_damaged_listings_are_errors(magicbrush: Path, tmp_path: Path):
    (magicbrush / "edit_sessions.json").write_text('{"139": [{"input": "x"}]}')
    with pytest.raises(ValueError, match="session 139 turn 1: a turn needs the texts input, output, instruction"):
        MagicBrushSource(magicbrush)
    (magicbrush / "edit_sessions.json").write_text("[")
    with pytest.raises(ValueError, match=r"edit_sessions.json is damaged"):
        MagicBrushSource(magicbrush)
    with pytest.raises(FileNotFoundError, match="it holds MagicBrush's sessions"):
        MagicBrushSource(tmp_path / "images")


def test_listings_do_not_lead_out_of_the_folder(magicbrush: Path):
    save(magicbrush / "secret.png", 0)
    row = {"input": "../../secret.png", "output": "139-output1.png", "instruction": "do"}
    (magicbrush / "edit_sessions.json").write_text(json.dumps({"139": [row]}))
    with pytest.raises(ValueError, match=r"none of 1 listed pairs can be used .1 x a path leads out of the folder"):
        MagicBrushSource(magicbrush)


def requests(folder: Path, listing: str, rows: list[dict[str, Any]]) -> Path:
    for number in range(3):
        save(folder / "images" / f"{number}.jpg", number, (16, 12 + 2 * (number == 2)))
    (folder / listing).parent.mkdir(parents=True, exist_ok=True)
    (folder / listing).write_text(json.dumps(rows))
    return folder


def test_gier(tmp_path: Path):
    rows = [
        {"input": "0.jpg", "output": "1.jpg", "expert_summary": ["brighten", "more  light"], "operator": {}}
        | {"amateur_summary": ["brighten", "make it pop"]},
        {"input": "0.jpg", "output": "2.jpg", "expert_summary": [], "amateur_summary": ["crop"]},
    ]
    folder = requests(tmp_path, "splits/test_sess_3.json", rows)
    source = GIERSource(folder / "splits/test_sess_3.json")
    assert [source[index].instruction for index in range(3)] == ["brighten", "more light", "make it pop"]
    assert source.column("id") == ["0/0", "0/1", "0/2"]
    assert source.left_out.counts == {"images differ in size": 1}
    assert set(source.groups) == {"0.jpg"}
    assert len(GIERSource(folder / "splits/test_sess_3.json", requests="first", resize=True)) == 2
    with pytest.raises(FileNotFoundError, match=r"has no GIER.json or IER2.json"):
        GIERSource(folder)


def test_evr(tmp_path: Path):
    row = {"img0": "0.jpg", "img1": "1.jpg", "sents": ["make color brighter", "add the effect"], "uid": "Reddit_1012"}
    source = EVRSource(requests(tmp_path, "test.json", [row]))
    assert source.column("id") == ["Reddit_1012/0", "Reddit_1012/1"]
    assert source[1].instruction == "add the effect"


def test_ma5k(tmp_path: Path):
    source = MA5kSource(requests(tmp_path, "FiveK.json", [{"input": "0.jpg", "output": "1.jpg", "request": "soften"}]))
    assert (len(source), source[0].instruction) == (1, "soften")
    (tmp_path / "FiveK.json").write_text('[{"input": "0.jpg"}]')
    with pytest.raises(ValueError, match=r"FiveK.json entry 0: an entry needs the file names 'input' and 'output'"):
        MA5kSource(tmp_path)


@pytest.fixture
def emu_edit(tmp_path: Path) -> Path:
    """Parquet files as the Hub has them."""
    data = save(tmp_path / "x.png", 3).read_bytes()
    for split, count in (("validation", 2), ("test", 3)):
        rows = [
            {"instruction": f"edit {row}", "task": "add", "split": split, "idx": row, "hash": f"h{row}"}
            | {"image": {"bytes": data, "path": None}, "input_caption": "a", "output_caption": "b"}
            for row in range(count)
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}-00000-of-00001.parquet")
    return tmp_path


def test_emu_edit_has_its_input_in_the_place_of_the_truth(emu_edit: Path):
    source = EmuEditSource(emu_edit)
    assert len(source) == 3
    assert len(EmuEditSource(emu_edit, split="validation")) == 2
    pair = source[2]
    assert (pair.id, pair.kind, pair.instruction, pair.edited_caption) == ("2", "add", "edit 2", "b")
    assert np.array_equal(np.asarray(pair.original_image), np.asarray(pair.edited_image))
    assert "no truth" in source.name
    assert source.fingerprint() != EmuEditSource(emu_edit, split="validation").fingerprint()
    with pytest.raises(ValueError, match="no file of the train split"):
        EmuEditSource(emu_edit, split="train")


@pytest.mark.parametrize("name", ["magicbrush", "emu_edit"])
def test_the_command_lines_data(name: str, magicbrush: Path, emu_edit: Path):
    config = compose("data render", [f"data={name}", f"data.test.path={magicbrush}"])
    data = build(config.data)
    pair = data.transform.evaluation()(data.sources()["test"][0])
    assert pair.original_image.shape == pair.edited_image.shape == (3, 512, 512)
