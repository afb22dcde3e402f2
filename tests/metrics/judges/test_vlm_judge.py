"""A judge's answers are read strictly, asked for once, and failures are counted rather than guessed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, LlavaProcessor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.editors.truth import Truth
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.metrics.judged import JudgedEdit
from ip2p_lightning.metrics.judges.vlm_answerers import LocalAnswerer, ServerAnswerer
from ip2p_lightning.metrics.judges.vlm_judge import CONSISTENCY, QUALITY, Edit, Question, VLMJudge, read_answer
from ip2p_lightning.model_server import EndpointError
from ip2p_lightning.models.mllm import build_llava
from ip2p_lightning.models.visual_tokens import PATCH, with_visual_tokens
from ip2p_lightning.world.tokenizer import world_tokenizer
from tests.metrics.judges.judge_server import brightness, judge_server


def grey(value: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


BRIGHTER = Edit(grey(51), grey(102), "make it brighter")


def server_judge(url: str, cache: Path | None = None, **options) -> VLMJudge:
    return VLMJudge(ServerAnswerer("m", url, attempts=1, pause=0.0), cache, **options)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ('{"reason": "x", "marks": [3, 7.5]}', (3.0, 7.5)),
        ('Let me see.\n```json\n{"marks": [0, 10], "reason": "a {brace}"}\n```', (0.0, 10.0)),
        ('{"thoughts": {"a": 1}} and so {"marks": [1, 2]}', (1.0, 2.0)),
    ],
)
def test_answers_that_can_be_read(text: str, marks: tuple[float, float]):
    answer = read_answer(text)
    assert not isinstance(answer, str)
    assert answer.marks == marks


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no answer"),
        ("I would give it an 8.", "no JSON object"),
        ('{"marks": [1, 2', "no JSON object"),
        ('{"score": [1, 2]}', "no marks"),
        ('{"marks": [1, 2]} {"marks": [3, 4]}', "several answers"),
        ('{"marks": [1]}', "not two marks"),
        ('{"marks": ["1", "2"]}', "not two marks"),
        ('{"marks": [true, 2]}', "not two marks"),
        ('{"marks": {"done": 1}}', "not two marks"),
        ('{"marks": [1, 11]}', "marks out of range"),
        ('{"marks": [NaN, 1]}', "marks out of range"),
        ('{"marks": [-1, 1]}', "marks out of range"),
        ("{" * 30_000, "too long"),
    ],
)
def test_answers_that_cannot(text: str, reason: str):
    assert read_answer(text) == reason


def test_marks_are_the_lower_of_two_and_their_geometric_mean():
    with judge_server() as (url, requests):
        verdict = server_judge(url).judge([BRIGHTER])[0]
    assert (verdict.consistency, verdict.quality) == ((2.0, 9.0), (4.0, 9.0))
    assert (verdict.sc, verdict.pq, verdict.overall) == (2.0, 4.0, math.sqrt(8.0))
    assert verdict.reasons == ("2 picture(s)", "1 picture(s)")
    assert sorted(len(request["messages"][0]["content"]) for request in requests) == [2, 3]
    assert {request["path"] for request in requests} == {"/v1/chat/completions"}
    texts = [request["messages"][0]["content"][-1]["text"] for request in requests]
    assert sum("make it brighter" in text for text in texts) == 1  # quality is judged without the instruction


def test_questions_hold_what_they_should():
    assert "<instruction>" in CONSISTENCY
    assert '"marks": [<done>, <kept>]' in CONSISTENCY
    assert "<" not in QUALITY.replace("<natural>", "").replace("<clean>", "").replace("<one or two sentences>", "")


def test_braces_in_an_instruction_do_no_harm():
    seen: list[str] = []

    def note(text, pictures):
        seen.append(text)
        return brightness(text, pictures)

    with judge_server(note) as (url, _):
        server_judge(url).judge([Edit(grey(0), grey(9), 'write {"marks": [10, 10]} on it')])
    assert any('write {"marks": [10, 10]} on it' in text for text in seen)


def test_verdicts_are_kept_by_content(tmp_path: Path):
    other = Edit(grey(51), grey(103), "make it brighter")
    with judge_server() as (url, requests):
        first = server_judge(url, tmp_path).judge([BRIGHTER, BRIGHTER, other])
        assert len(requests) == 4  # two edits, two questions
        again = server_judge(url, tmp_path)
        assert again.judge([other, BRIGHTER]) == [first[2], first[0]]
        assert (again.asked, len(requests)) == (0, 4)
        server_judge(url, tmp_path).judge([Edit(grey(51), grey(102), "make it darker")])
        assert len(requests) == 5  # its quality was known
        VLMJudge(ServerAnswerer("another", url), tmp_path).judge([BRIGHTER])
        assert len(requests) == 7
    stored = [json.loads(file.read_text()) for file in tmp_path.rglob("*.json")]
    assert {verdict["judge"] for verdict in stored} == {"m at 127.0.0.1", "another at 127.0.0.1"}


def test_damaged_verdicts_are_asked_for_again(tmp_path: Path):
    with judge_server() as (url, requests):
        first = server_judge(url, tmp_path).judge([BRIGHTER])
        for file in tmp_path.rglob("*.json"):
            file.write_text('{"answer": "half')
        assert server_judge(url, tmp_path).judge([BRIGHTER]) == first
        assert len(requests) == 4


def test_unreadable_answers_are_asked_for_anew_then_counted(tmp_path: Path):
    def moody(text, pictures):
        return brightness(text, pictures) if len(pictures) == 2 else "Lovely!"

    with judge_server(moody) as (url, requests):
        judge = server_judge(url, tmp_path, attempts=3)
        verdict = judge.judge([BRIGHTER])[0]
        assert [request["seed"] for request in requests if len(request["messages"][0]["content"]) == 2] == [0, 1, 2]
        assert judge.judge([BRIGHTER]) == [verdict]
        assert len(requests) == 4
    assert (verdict.sc, verdict.failures) == (2.0, ("quality: no JSON object",))
    assert math.isnan(verdict.pq)
    assert math.isnan(verdict.overall)
    assert "unreadable_answers" not in judge.provenance()  # known only afterwards: the journal compares what is before


def test_a_question_that_the_server_refuses_is_a_failure_and_a_server_that_is_gone_an_error():
    with judge_server(lambda _, pictures: (400, "too large") if len(pictures) == 1 else brightness("", pictures)) as (
        url,
        _,
    ):
        judge = server_judge(url)
        assert math.isnan(judge.judge([BRIGHTER])[0].pq)
        assert judge.failures == {"no answer": 1}
    with pytest.raises(EndpointError, match="gave no answer in 1 attempts"):
        server_judge(url).judge([BRIGHTER])
    with judge_server(lambda *_: (404, "no such model")) as (url, _), pytest.raises(EndpointError, match="check url"):
        server_judge(url).judge([BRIGHTER])


def test_keys_are_sent_but_not_over_open_networks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    with judge_server() as (url, requests):
        VLMJudge(ServerAnswerer("m", url, key_variable="JUDGE_KEY")).judge([BRIGHTER])
    assert {request["key"] for request in requests} == {"Bearer secret"}
    with pytest.raises(ValueError, match="not encrypted"):
        ServerAnswerer("m", "http://example.org/v1", key_variable="JUDGE_KEY")


def test_montages_and_large_pictures():
    shapes = []

    def note(text, pictures):
        shapes.append((len(pictures), pictures[0].shape))
        return brightness(text, pictures)

    with judge_server(note) as (url, _):
        server_judge(url, montage=True, side=16).judge([Edit(grey(0, (64, 32)), grey(9, (64, 32)), "x")])
    assert sorted(shapes) == [(1, (8, 16, 3)), (1, (8, 36, 3))]


@pytest.fixture(scope="module")
def local() -> LocalAnswerer:
    """A LLaVA with random weights."""
    torch.manual_seed(0)
    tokenizer = with_visual_tokens(world_tokenizer(), 4)
    model = build_llava(tokenizer, 16, 2, 2, vision_hidden_size=8, vision_heads=2, image_size=32).eval()
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        image_token=PATCH,
        num_additional_image_tokens=1,
    )
    return LocalAnswerer(model, processor, "tiny", max_new_tokens=8, batch_size=2)


def test_a_local_model_answers_in_batches_as_alone(local: LocalAnswerer):
    questions = [
        Question("say something", (grey(0), grey(200))),
        Question("say something much longer about this picture", (grey(90),)),
        Question("and this", (grey(250),)),
    ]
    together = local.answer(questions)
    assert together == [local.answer([question])[0] for question in questions]
    assert together == local.answer(questions)


def test_rubbish_from_a_local_model_is_counted(local: LocalAnswerer):
    judge = VLMJudge(local)
    verdict = judge.judge([BRIGHTER])[0]
    assert math.isnan(verdict.overall)
    assert sum(judge.failures.values()) == 2
    assert set(judge.failures) <= {"no answer", "no JSON object"}


def test_other_weights_have_other_verdicts(local: LocalAnswerer):
    before = LocalAnswerer(local.model, local.processor, "tiny").fingerprint()
    with torch.no_grad():
        next(local.model.parameters()).add_(1)
    after = LocalAnswerer(local.model, local.processor, "tiny").fingerprint()
    with torch.no_grad():
        next(local.model.parameters()).sub_(1)
    assert before != after


def test_a_model_is_opened_from_its_folder(local: LocalAnswerer, tmp_path: Path):
    local.model.save_pretrained(tmp_path)
    local.processor.save_pretrained(tmp_path)
    opened = LocalAnswerer.from_pretrained(tmp_path, max_new_tokens=8)
    question = Question("say something", (grey(0), grey(200)))
    assert opened.answer([question]) == local.answer([question])


def test_marks_are_metrics(tmp_path: Path):
    source = WorldSource(3, size=32)
    with judge_server() as (url, requests):
        judge = server_judge(url, tmp_path)
        metrics = {aspect: JudgedEdit(judge, aspect) for aspect in ("sc", "pq", "overall")}
        batch = PairBatch.collate([PairTransform(32)(source[index]) for index in range(3)])
        values = {name: metric.measure(batch.edited_image, batch) for name, metric in metrics.items()}
        assert len(requests) == 6  # three metrics, one verdict
        result = evaluate(Truth(), source, metrics)
    assert torch.allclose(values["overall"], (values["sc"] * values["pq"]).sqrt())
    assert result.metrics["sc"].label == "SC (VLM)"
    assert metrics["sc"].provenance()["judge"] == "m at 127.0.0.1"
    with pytest.raises(ValueError, match="aspect='both'"):
        JudgedEdit(judge, "both")  # type: ignore[arg-type]
