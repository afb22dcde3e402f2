"""Datasets from the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from ip2p_lightning import shipped
from ip2p_lightning.data.encoded import encode_pair
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.sources.world import WorldSource
from tests.data.doctor.planting import InMemory, honest, planted


def test_render_verify_stats_show(ip2p, tmp_path):
    assert "40 pairs" in ip2p("data", "render", "data=world_tiny", "output=pairs")
    assert "pairs is whole: 40 pairs" in ip2p("data", "verify", "path=pairs", "decode=true")
    assert "validation" in ip2p("data", "stats", "path=pairs")
    ip2p("data", "show", "path=pairs", "output=sheet.png", "count=2", "split=test")
    ip2p("data", "show", "source=world", "source.size=32", "output=drawn.png", "count=2")
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "drawn.png") as drawn:
        assert sheet.width == drawn.width


def test_a_source_is_cut_into_splits(ip2p):
    words = ["source=world", "source.count=20", "source.size=16", "splits={train: 0.5, test: 0.5}"]
    printed = ip2p("data", "render", *words, "output=pairs")
    assert "20 pairs" in printed
    assert "test" in printed


def test_damage_is_an_error(ip2p, tmp_path):
    ip2p("data", "render", "data=world_tiny", "output=pairs")
    shard = next((tmp_path / "pairs").glob("*.tar"))
    content = bytearray(shard.read_bytes())
    content[5000] ^= 255
    shard.write_bytes(content)
    assert "pairs is damaged (" in ip2p("data", "verify", "path=pairs", fails=True)


def test_what_is_missing_is_named(ip2p):
    assert "must be one of render, import, export, " in ip2p("data", fails=True)
    assert "not 'rendr'" in ip2p("data", "rendr", fails=True)
    assert "output is missing" in ip2p("data", "render", fails=True)
    assert "path is missing" in ip2p("data", "stats", fails=True)
    assert "path=nowhere does not exist" in ip2p("data", "verify", "path=nowhere", fails=True)
    assert "'fly'" in ip2p("data", "show", "source=world", "source.kinds=[fly]", "output=x.png", fails=True)


def test_export_and_import(ip2p, tmp_path):
    ip2p("data", "render", "data=world_tiny", "output=pairs")
    assert "40 pairs in exported (jsonl)" in ip2p("data", "export", "format=jsonl", "path=pairs", "output=exported")
    lines = (tmp_path / "exported/pairs.jsonl").read_text().splitlines()
    (tmp_path / "exported/pairs.jsonl").write_text("\n".join([*lines, "{", '{"instruction": "do"}']))
    words = ["data", "import", "format=jsonl", "path=exported", "output=again"]
    assert "pairs.jsonl line 41: damaged line" in ip2p(*words, fails=True)
    printed = ip2p(*words, "skip_failures=true")
    assert "40 pairs" in printed
    assert "left out 2: 1 x damaged line, 1 x no image for original_image" in printed
    assert "format is missing: which layout the files have, one of" in ip2p(
        "data", "export", "path=x", "output=y", fails=True
    )


def test_own_pairs_from_a_table(ip2p, tmp_path):
    ip2p("data", "render", "source=world", "source.count=20", "source.size=16", "output=pairs")
    ip2p("data", "export", "format=csv", "path=pairs", "output=mine")
    table = (tmp_path / "mine/pairs.csv").read_text().replace("original_image", "before").replace(",split", ",x")
    (tmp_path / "mine/pairs.csv").write_text(table)
    printed = ip2p("data", "import", "format=csv", "path=mine/pairs.csv", "output=data")
    assert "20 pairs (test 2, train 16, validation 2) in data" in printed
    assert "no validation pairs" not in printed
    printed = ip2p("data", "import", "format=csv", "path=mine", "output=all", "default_splits=null")
    assert "no validation pairs in all: training has no validation loss" in printed
    assert "data=shards has it: data=shards data.path=..." in ip2p(
        "train", "experiment=ip2p/world", "data.path=photos", fails=True
    )


def test_the_doctor_prints_without_an_output_and_takes_an_encoder(ip2p, tmp_path):
    source = WorldSource(24, 64, level="full")
    pairs = [encode_pair(source[index]) for index in range(24)]
    pairs[5] = replace(pairs[5], original_image=pairs[5].edited_image, edited_image=pairs[5].original_image)
    render_dataset(InMemory(pairs), "mine")
    options = ["path=mine", "resolution=64", "alignment=false"]
    before = {path.name for path in tmp_path.iterdir()}
    printed = ip2p("data", "doctor", *options)
    assert "output=FOLDER writes all findings" in printed
    assert "encoder=zoo:dual_encoder or a CLIP of yours finds more" in " ".join(printed.split())
    assert {path.name for path in tmp_path.iterdir()} == before
    printed = ip2p("data", "doctor", *options, f"encoder={shipped.path('dual_encoder')}")
    assert f"{pairs[5].id}: swapped: its images change opposite to its captions" in " ".join(printed.split())
    assert "encoder=nowhere is no folder" in ip2p("data", "doctor", *options, "encoder=nowhere", fails=True)


@pytest.mark.slow
def test_the_doctor_and_what_it_mends(ip2p, tmp_path):
    pairs, _ = planted(honest(104))
    chosen = [pair for pair in pairs if pair.kind in ("local", "brightness") and pair.instruction][:14]
    render_dataset(InMemory(chosen), "mine", skip_failures=True)
    printed = ip2p("data", "doctor", "path=mine", "output=checked", "resolution=192")
    assert "with findings" in printed
    assert "misaligned" in printed
    assert "training at 192 (squash):" in printed
    names = {path.name for path in (tmp_path / "checked").iterdir()}
    assert names == {"findings.csv", "findings.png", "pairs.csv", "report.json"}
    with pytest.raises(SystemExit) as error:
        ip2p("data", "doctor", "path=mine", "output=checked", "resolution=192", "alignment=false", "strict=true")
    assert error.value.code == 1
    ip2p("data", "export", "format=csv", "path=mine", "output=table")
    assert "misaligned" in ip2p("data", "doctor", "format=csv", "path=table", "output=again")
    assert " mended; " in ip2p("data", "align", "path=mine", "output=mended")
    after = ip2p("data", "doctor", "path=mended", "output=after", "resolution=192")
    assert "misaligned" not in after.split("training at")[0]
