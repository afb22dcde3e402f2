"""Benchmarks make each image once, count what is right by category, and never take a silent judge for a wrong image."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence

import pytest
from PIL import Image

from ip2p_lightning.data.saving import save_image
from ip2p_lightning.evaluation.preference_items import image_items
from ip2p_lightning.evaluation.prompts.figures import ALL, category_figures
from ip2p_lightning.evaluation.prompts.prompt_set import Atom, Prompt, PromptSet
from ip2p_lightning.evaluation.prompts.run import PromptBenchmark, read_benchmark
from ip2p_lightning.evaluation.prompts.systems import FolderSystem
from ip2p_lightning.evaluation.prompts.world_prompts import world_prompts
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.metrics.judges.atoms import Asked, AttributeAtoms, ModelAtoms
from ip2p_lightning.metrics.judges.vlm_judge import Question
from ip2p_lightning.report.prompts_page import write_prompts_page
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words


class Drawn:
    """Draws what each prompt says: the world's own truth. Counts its images."""

    def __init__(self, name: str = "drawn", replaced: tuple[str, str] = ("", "")) -> None:
        self.name, self.replaced, self.made, self.dies_after = name, replaced, 0, math.inf

    def fingerprint(self) -> str:
        return f"{self.name} {self.replaced}"

    def make(self, prompts: Sequence[Prompt], sample: int) -> list[Image.Image]:
        if self.made >= self.dies_after:
            raise KeyboardInterrupt
        self.made += len(prompts)
        return [draw(scene_of_words(prompt.text.replace(*self.replaced)), 64) for prompt in prompts]


class Answers:
    """An answerer that says the same of everything."""

    name = "fixed"

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def fingerprint(self) -> str:
        return repr(self.texts)

    def answer(self, questions: Sequence[Question]) -> list[str]:
        return [self.texts[place % len(self.texts)] for place in range(len(questions))]


@pytest.fixture(scope="module")
def judge() -> AttributeAtoms:
    """The zoo's."""
    return AttributeAtoms(JudgeReader.from_pretrained("zoo:judge"))


def test_exact_truth_is_read_right_and_a_wrong_season_is_seen(tmp_path, judge):
    prompts = world_prompts(6)
    systems = [Drawn("right"), Drawn("always winter", ("summer", "winter"))]
    result = PromptBenchmark(prompts, systems, tmp_path, judge=judge, samples=1, batch_size=4).run()
    figures = {(one.system, one.category): one for one in category_figures(result, resamples=50)}
    assert set(figures) == {(s.name, c) for s in systems for c in (ALL, *prompts.categories)}
    assert figures["right", ALL].atoms.estimate > 0.97
    assert figures["right", ALL].failures.total() == 0
    summers = sum("summer" in prompt.text for prompt in prompts.prompts)
    assert summers
    gap = figures["right", ALL].whole.estimate - figures["always winter", ALL].whole.estimate
    assert gap == pytest.approx(summers / 12, abs=0.1)
    page = write_prompts_page(result, category_figures(result, resamples=50), tmp_path, shown=2)
    assert "held-out combinations" in page.read_text()
    assert (tmp_path / "sheet-01.png").is_file()


def test_a_killed_benchmark_goes_on_and_a_finished_one_makes_nothing(tmp_path):
    system, prompts = Drawn(), world_prompts(4)
    system.dies_after = 4
    with pytest.raises(KeyboardInterrupt):
        PromptBenchmark(prompts, [system], tmp_path, batch_size=2).run()
    system.dies_after = math.inf
    first = PromptBenchmark(prompts, [system], tmp_path, batch_size=2).run()
    assert system.made == 8
    again = PromptBenchmark(prompts, [system], tmp_path, batch_size=3).run()
    assert system.made == 8
    assert again.rows == read_benchmark(tmp_path).rows or all(math.isnan(row.clip) for row in again.rows)
    assert [row.image for row in first.rows] == [row.image for row in again.rows]


PROMPTS = PromptSet(
    "two", tuple(Prompt(str(n), "a car", "Colors", (Atom("Colour?", "red"), Atom("A car?", "yes"))) for n in range(4))
)


def test_what_the_judge_could_not_answer_is_counted_apart(tmp_path):
    """Half of the answers are refusals: the share of the others stays what it was, and none of the images is whole."""
    judge = ModelAtoms(Answers('{"answer": "The red."}', ""))
    result = PromptBenchmark(PROMPTS, [Red()], tmp_path, judge=judge).run()
    (found,) = [one for one in category_figures(result, resamples=50) if one.category == ALL]
    assert (found.atoms.estimate, found.atoms.values, found.asked) == (1.0, 4, 8)
    assert found.failures == {"no answer": 4}
    assert math.isnan(found.whole.estimate)
    page = write_prompts_page(result, [found], tmp_path, shown=1)
    assert "Without an answer, and in no share: no answer 4." in page.read_text()
    answered = PromptBenchmark(
        PROMPTS, [Red()], tmp_path, judge=ModelAtoms(Answers('{"answer": "red"}', '{"answer": true}'))
    )
    assert category_figures(answered.run(), resamples=50)[0].whole.estimate == 1.0


class Red(Drawn):
    def make(self, prompts: Sequence[Prompt], sample: int) -> list[Image.Image]:
        return [Image.new("RGB", (32, 32), (200, 20 * sample, 0)) for _ in prompts]


@pytest.mark.parametrize(
    ("text", "right", "said"),
    [
        ('{"answer": "Red!"}', True, "Red!"),
        ('Sure: {"answer": "a blue"}', False, "a blue"),
        ('{"answer": "red"} {"answer": "blue"}', None, "several answers"),
        ("red", None, "no JSON object"),
        ('{"reply": "red"}', None, "no answer in the JSON object"),
        ("{" + "x" * 3000 + "}", None, "too long"),
        ("", None, "no answer"),
    ],
)
def test_nothing_is_guessed_from_an_answer(text, right, said):
    ((reply,),) = ModelAtoms(Answers(text)).judge([Image.new("RGB", (8, 8))], [[Asked("Colour?", "red")]])
    assert (reply.right, reply.said) == (right, said)


def test_images_of_another_system_are_found_by_the_prompts_id(tmp_path):
    save_image(Image.new("RGB", (8, 8), "red"), tmp_path / "0-0.png")
    save_image(Image.new("RGB", (8, 8), "blue"), tmp_path / "1.png")
    system = FolderSystem("theirs", tmp_path)
    images = system.make(PROMPTS.prompts[:2], 0)
    assert [image.getpixel((0, 0)) for image in images] == [(255, 0, 0), (0, 0, 255)]
    with pytest.raises(FileNotFoundError, match=r"should be called 1-1\.png"):
        system.make(PROMPTS.prompts[1:2], 1)


def test_the_same_images_become_a_study(tmp_path):
    systems = [Red("a"), Red("b"), Red("c")]
    result = PromptBenchmark(PROMPTS, systems, tmp_path, samples=4).run()
    items = image_items(result, tmp_path, 3, seed=0)
    assert len(items) == 3 * 3
    assert all(item.original is None and len(item.edits) == 2 for item in items)
    assert items[0].edits["a"].size == (65, 65), "four samples in two rows"


@pytest.mark.parametrize(
    "change",
    [
        lambda content: [1],
        lambda content: content | {"facts": 3},
        lambda content: content | {"rows": []},
        lambda content: content | {"rows": [3]},
        lambda content: content | {"rows": content["rows"][1:]},
        lambda content: content | {"rows": [*content["rows"], content["rows"][0]]},
        lambda content: content | {"rows": [content["rows"][0] | {"prompt": ["0"]}, *content["rows"][1:]]},
        lambda content: content | {"rows": [content["rows"][0] | {"image": None}, *content["rows"][1:]]},
        lambda content: content | {"rows": [content["rows"][0] | {"sample": "x"}, *content["rows"][1:]]},
        lambda content: content | {"rows": [content["rows"][0] | {"replies": [{"right": 7}]}, *content["rows"][1:]]},
    ],
)
def test_results_that_are_damaged_are_named(tmp_path, change):
    PromptBenchmark(PROMPTS, [Red("a"), Red("b")], tmp_path).run()
    file = tmp_path / "benchmark.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ValueError, match=r"benchmark\.json"):
        read_benchmark(tmp_path)


@pytest.mark.parametrize("name", ["café-0.JPG", unicodedata.normalize("NFD", "café-0.png"), "café.jpeg", "café.PNG"])
def test_images_of_other_programs_are_found_by_their_prompts_id(tmp_path, name):
    save_image(Image.new("RGB", (8, 8)), tmp_path / name)
    system, prompt = FolderSystem("theirs", tmp_path), Prompt("café", "a café")
    before = system.fingerprint()
    (tmp_path / f"._{name}").write_bytes(b"companion of macOS")
    (tmp_path / "gone.png").symlink_to("nothing")
    assert system.make([prompt], 0)[0].size == (8, 8)
    assert system.fingerprint() == before
    (tmp_path / "out.png").symlink_to(tmp_path.parent / "private.png")
    (tmp_path.parent / "private.png").write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(ValueError, match="leads out of the folder"):
        system.make([Prompt("out", "x")], 0)
