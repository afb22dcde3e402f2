"""`ip2p study` end to end: a study of edits is made and served, answered, and counted on a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from ip2p_lightning.cli import main
from ip2p_lightning.data.saving import save_image
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.serving import server
from ip2p_lightning.serving.study.app import make_app
from ip2p_lightning.serving.study.folder import Study

TestClient = pytest.importorskip("fastapi.testclient").TestClient


@pytest.fixture
def systems(tmp_path: Path) -> dict[str, Path]:
    """Edits of twelve pairs: the true ones, and the originals."""
    source = WorldSource(12, 32, split="test")
    for index in range(len(source)):
        pair = source[index]
        save_image(pair.edited_image, tmp_path / "right" / f"{pair.id}.png")  # type: ignore[arg-type]
        save_image(pair.original_image, tmp_path / "copy" / f"{pair.id}.png")  # type: ignore[arg-type]
    return {name: tmp_path / name for name in ("right", "copy")}


def test_edits_are_compared_and_counted(tmp_path, systems, monkeypatch, capsys):
    served = []
    monkeypatch.setattr(server, "run", lambda app, taken, *_, **__: served.append((app, server.address(taken))))
    study = tmp_path / "study"
    named = f"systems={{right:{systems['right']},copy:{systems['copy']}}}"
    data = ["data=world", "data.test.count=12", "data.test.size=32"]
    arguments = ["study", "serve", named, *data, "count=10", "catch=2", "side=32", f"output={study}", "port=8501"]
    assert main(arguments) == 0, capsys.readouterr().err
    assert "10 comparisons and 2 catch trials" in capsys.readouterr().out
    assert served[0][1] == "http://127.0.0.1:8501"
    better = {
        name for item in Study.open(study).items for name, system in zip(item.images, item.systems, strict=True)
        if system == "right"
    }  # fmt: skip
    assert main(["study", "results", f"output={study}"]) == 2
    assert "holds no answers yet" in capsys.readouterr().err
    for name in ("anna", "bo"):
        with TestClient(make_app(study)) as client:
            client.post("/join", json={"name": name})
            page = client.get("/next").json()
            assert page["item"]["images"]["original"]
            while page["item"]:
                side = "left" if page["item"]["images"]["left"] in better else "right"
                answer = {"item": page["item"]["token"], "follows": side, "looks": "same" if name == "bo" else side}
                page = client.post("/answer", json=answer).json()
    assert main(["study", "results", f"output={study}", "resamples=100", "least_caught=0.4"]) == 0
    shown = capsys.readouterr().out
    assert "20 answers of 2 raters" in shown
    assert "100% (69% to 100%)" in shown  # 0.025 ** (1 / 10 pairs)
    page = (study / "results.html").read_text()
    assert "What people preferred" in page
    assert (study / "choices-follows.csv").is_file()


def test_answers_of_static_pages_are_counted_the_same_way(tmp_path, systems, capsys):
    from ip2p_lightning.evaluation.preference import Item, write_page

    items = [
        Item(f"p{n}", "do", Image.new("RGB", (8, 8)), {"a": Image.new("RGB", (8, 8)), "b": Image.new("RGB", (8, 8))})
        for n in range(8)
    ]
    write_page(items, tmp_path / "page" / "page.html", tmp_path / "key.json")
    key = OmegaConf.load(tmp_path / "key.json")
    rows = [
        f"{key.study},{n},{question},{'left' if item.left == 'a' else 'right'},anna,1"
        for n, item in enumerate(key["items"])
        for question in ("follows", "looks")
    ]
    (tmp_path / "anna.csv").write_text("study,item,question,answer,rater,time\n" + "\n".join(rows) + "\n")
    arguments = ["study", "results", f"answers=[{tmp_path / 'anna.csv'}]", f"output={tmp_path / 'out'}", "resamples=50"]
    assert main(arguments) == 2
    assert "key is missing" in capsys.readouterr().err
    assert main([*arguments, f"key={tmp_path / 'key.json'}"]) == 0
    assert "8 answers of 1 rater." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "holds no study yet"),
        (["systems={a:.}"], "name two or more"),
        (["per_rater=0"], "per_rater"),
        (["port=99999"], "port"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, words, message):
    assert main(["study", "serve", f"output={tmp_path / 'study'}", *words]) == 2
    assert message in capsys.readouterr().err
