"""Outputs of other systems are scored as they are, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.memory import MemorySource
from ip2p_lightning.editors.precomputed import FolderOutputs


def noise(seed: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


class Pairs:
    """Three pairs of random pixels."""

    name, licence = "noise", "CC0-1.0"

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> EditPair:
        return EditPair(f"scene/{index}", noise(index), noise(10 + index), f"edit {index}")

    def fingerprint(self) -> str:
        return "noise"


def originals(*numbers: int) -> torch.Tensor:
    return torch.stack([to_tensor(noise(number)) for number in numbers])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scene").mkdir()
    noise(100).save(tmp_path / "scene/0.png")
    noise(101).save(tmp_path / "scene_1.png")
    return tmp_path


def edit(outputs: FolderOutputs, *numbers: int, **options) -> torch.Tensor:
    ids = [f"scene/{number}" for number in numbers]
    return outputs.edit(originals(*numbers), [f"edit {n}" for n in numbers], ids=ids, **options).images


def test_files_come_back_by_id_in_any_order(folder: Path):
    assert torch.equal(edit(FolderOutputs(folder), 1, 0), originals(101, 100))
    pictures = FolderOutputs(folder).edit([noise(0)], ["edit 0"], ids=["scene/0"]).images
    assert np.array_equal(np.asarray(pictures[0]), np.asarray(noise(100)))


def test_names_of_parts_and_the_first_that_exists(tmp_path: Path):
    (tmp_path / "139").mkdir()
    for name in ("139_1", "139_inde_2", "139_iter_2"):
        noise(len(name)).save(tmp_path / "139" / f"{name}.png")
    single = FolderOutputs(tmp_path, names=["{0}/{0}_inde_{1}", "{0}/{0}_{1}"])
    multi = FolderOutputs(tmp_path, names=["{0}/{0}_iter_{1}", "{0}/{0}_{1}"])
    assert [single.find(f"139-{turn}").stem for turn in (1, 2)] == ["139_1", "139_inde_2"]  # type: ignore[union-attr]
    assert [multi.find(f"139-{turn}").stem for turn in (1, 2)] == ["139_1", "139_iter_2"]  # type: ignore[union-attr]
    assert single.find("140-1") is None
    assert single.find("nothing") is None


def test_a_missing_file_is_an_error_or_a_counted_gap(folder: Path):
    with pytest.raises(ValueError, match=r"pair 'scene/2' has no output .* or set editor.missing=gap"):
        edit(FolderOutputs(folder), 2)
    with pytest.raises(ValueError, match=r"1 of 3 pairs have no output in .*: 'scene/2'"):
        FolderOutputs(folder).answered(Pairs())
    answered = FolderOutputs(folder, missing="gap").answered(Pairs())
    assert [answered[index].id for index in range(len(answered))] == ["scene/0", "scene/1"]
    assert answered.describe() == {"pairs": 3, "answered": 2, "gaps": ["scene/2"]}
    assert answered.fingerprint() != Pairs().fingerprint()
    assert FolderOutputs(folder, missing="gap").answered(MemorySource(Pairs())).gaps == ["scene/2"]


def test_no_output_at_all_is_an_error_even_where_gaps_are_allowed(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="3 of 3 pairs have no output"):
        FolderOutputs(tmp_path / "empty", missing="gap").answered(Pairs())


def test_another_size_is_an_error_unless_asked_for(folder: Path):
    noise(5, (64, 32)).save(folder / "scene/2.png")
    with pytest.raises(ValueError, match=r"2.png is 64 x 32, but the pair 'scene/2' is evaluated at 16 x 16"):
        edit(FolderOutputs(folder), 2)
    squashed, cropped = FolderOutputs(folder, resize="squash"), FolderOutputs(folder, resize="centre_crop")
    assert torch.equal(edit(squashed, 2)[0], to_tensor(noise(5, (64, 32)).resize((16, 16), Image.Resampling.BICUBIC)))
    middle = noise(5, (64, 32)).crop((16, 0, 48, 32)).resize((16, 16), Image.Resampling.BICUBIC)
    assert torch.equal(edit(cropped, 2)[0], to_tensor(middle))
    edit(squashed, 0)
    assert squashed.remarks(["scene/0", "scene/2"]) == [{"resized": False}, {"resized": True}]
    assert squashed.describe() == {"outputs": str(folder), "resize": "squash"}


def test_a_list_of_files(folder: Path):
    rows = [
        {"id": "scene/1", "output": "scene_1.png", "instruction": "edit 1", "truth": "x.png"},
        {"id": "scene/0", "edited": "scene/0.png"},
        {"id": "scene/2"},
    ]
    listing = folder / "list.jsonl"
    listing.write_text("\n".join(map(json.dumps, rows)))
    outputs = FolderOutputs(listing, missing="gap")
    assert torch.equal(edit(outputs, 0, 1), originals(100, 101))
    assert outputs.answered(Pairs()).gaps == ["scene/2"]
    with pytest.raises(ValueError, match="was edited by 'edit 1', but its instruction is 'make it snow'"):
        outputs.edit(originals(1), ["make it snow"], ids=["scene/1"])


def test_lines_without_id_are_numbered_as_the_import_numbers_them(folder: Path):
    (folder / "list.jsonl").write_text('{"output": "scene_1.png"}\n')
    assert FolderOutputs(folder / "list.jsonl").find("list/00000001") == folder / "scene_1.png"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"id": "a", "output": "../secret.png"}', "leads out of the folder"),
        ('{"id": "a", "output": "/etc/passwd"}', "leads out of the folder"),
        ('{"id": "a", "output": 3}', "line 1: the output should be a path, not int"),
        ('{"id": "a", "output": "x.png"}\n{"id": "a", "output": "y.png"}', "line 2: the id 'a' is there twice"),
        ("{", "line 1: damaged line"),
    ],
)
def test_bad_lists(row: str, message: str, tmp_path: Path):
    (tmp_path / "inner").mkdir()
    noise(0).save(tmp_path / "secret.png")
    (tmp_path / "inner/list.jsonl").write_text(row)
    with pytest.raises(ValueError, match=message):
        FolderOutputs(tmp_path / "inner/list.jsonl").find("a")


def test_ids_do_not_lead_out_of_the_folder(folder: Path):
    inner = folder / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match="leads out of the folder"):
        FolderOutputs(inner).find("../scene_1")


def test_one_output_does_not_stand_for_two_seeds(folder: Path):
    outputs = FolderOutputs(folder)
    edit(outputs, 0, seeds=[1])
    edit(outputs, 0, seeds=[1])
    with pytest.raises(ValueError, match="two seeds ask for it"):
        edit(outputs, 0, seeds=[2])


def test_what_is_wrong_is_said(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no folder of edited images"):
        FolderOutputs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="pass ids"):
        FolderOutputs(tmp_path).edit(originals(0), ["edit"])
    with pytest.raises(ValueError, match="resize='stretch'"):
        FolderOutputs(tmp_path, resize="stretch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="missing='nan'"):
        FolderOutputs(tmp_path, missing="nan")  # type: ignore[arg-type]
