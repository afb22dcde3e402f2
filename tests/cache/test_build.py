"""Building a cache: shares, deduplication, limits, interruptions, and two jobs at once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from factories import tiny_module

from ip2p_lightning.cache.build import Builder
from ip2p_lightning.cache.encoding import Encoding, tokenizer_digest, weights_digest
from ip2p_lightning.cache.latents import latents
from ip2p_lightning.cache.pairs import CachedSource, Recall
from ip2p_lightning.cache.store import Store
from ip2p_lightning.cache.views import Views
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform

COUNT, SIZE = 11, 16


class CountedSource:
    """The world, with the number of its pictures that were drawn."""

    def __init__(self) -> None:
        self.world, self.drawn = WorldSource(COUNT, SIZE), 0
        self.name, self.licence = self.world.name, self.world.licence

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int):
        self.drawn += 1
        return self.world[index]

    def fingerprint(self) -> str:
        return self.world.fingerprint()


@pytest.fixture
def module():
    return tiny_module().requires_grad_(False).eval()


def builder(root: Path, module, source=None, **options) -> Builder:
    source = source or WorldSource(COUNT, SIZE)
    views = Views(options.pop("transform", PairTransform(SIZE, flip=0.5, flip_sided=True)), options.pop("crops", None))
    encodings = [latents(module.autoencoder), *module.conditioner.encodings({"editing_loss"})]
    address = {"source": source.fingerprint(), "views": views.address()}
    stores = [(e, Store(root, e.name, {**address, "network": e.fingerprint()}, len(source), 4)) for e in encodings]
    texts = Store(root, "texts", {"source": source.fingerprint()}, len(source), 4)
    return Builder(source, views, texts, stores, batch_size=3, **options)


def recalled(made: Builder, pictures: bool = False) -> TransformedPairs:
    stores = tuple(store for _, store in made.stores)
    return TransformedPairs(CachedSource(made.source, made.texts, pictures), Recall(made.views, stores))


def test_what_is_recalled_is_what_the_networks_say(tmp_path, module):
    made = builder(tmp_path, module)
    made.build()
    plain, cached = TransformedPairs(made.source, made.views.transform), recalled(made)
    addresses = [(epoch, index) for epoch in range(3) for index in range(COUNT)]
    flips = {made.views.index(plain.source[index], epoch) for epoch, index in addresses}
    assert flips == {0, 1}
    for start in range(0, len(addresses), 8):
        seen = PairBatch.collate([plain[address] for address in addresses[start : start + 8]])
        known = PairBatch.collate([cached[address] for address in addresses[start : start + 8]])
        assert known.original_image.shape == (len(seen), 3, 0, 0)
        assert (known.id, known.instruction, known.kind) == (seen.id, seen.instruction, seen.kind)
        for pictures, states in zip(
            module.encode(seen, torch.Generator().manual_seed(0)),
            module.encode(known, torch.Generator().manual_seed(0)),
            strict=True,
        ):
            torch.testing.assert_close(states, pictures, atol=1e-5, rtol=1e-5)
        before, after = module.conditioner(seen), module.conditioner(known)
        torch.testing.assert_close(after.embeddings, before.embeddings)
        torch.testing.assert_close(after.null_embeddings, before.null_embeddings)


def test_pictures_can_be_read_beside(tmp_path, module):
    made = builder(tmp_path, module)
    made.build()
    seen, known = TransformedPairs(made.source, made.views.transform)[(1, 5)], recalled(made, pictures=True)[(1, 5)]
    assert torch.equal(known.original_image, seen.original_image)
    assert set(known.cached) == {"edited_mean", "edited_std", "original_mean", "brief_states"}


def test_ranks_share_the_work_and_a_killed_build_goes_on(tmp_path, module):
    source = CountedSource()
    made = builder(tmp_path, module, source)
    assert made.missing() == [0, 1, 2]
    made.build(rank=1, ranks=2)
    assert (made.missing(), source.drawn) == ([0, 2], 4)
    made.build(rank=0, ranks=2)
    assert (made.missing(), source.drawn) == ([], COUNT)
    builder(tmp_path, module, source).build()
    assert source.drawn == COUNT


def test_a_damaged_pair_is_not_cached_by_another_in_its_place(tmp_path, module):
    world = WorldSource(COUNT, SIZE)
    with ShardWriter(tmp_path / "data") as writer:
        for index in range(COUNT):
            writer.add(world[index])
    shard = tmp_path / "data/shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[content.find(b"000000-000005.original.png") + 560] ^= 1
    shard.write_bytes(content)
    made = builder(tmp_path / "cache", module, ShardDataset(tmp_path / "data", on_error="skip"))
    with pytest.raises(ValueError, match=r"1 pair\(s\) could not be read.*original does not have.*cache=null"):
        made.build()
    assert 1 in made.missing()  # the part that it belongs to


def test_texts_are_stored_once_and_sided_pairs_in_one_view(tmp_path, module):
    made = builder(tmp_path, module, transform=PairTransform(SIZE, flip=0.5))
    made.build()
    store = {store.name: store for _, store in made.stores}
    texts = [made.source[index].instruction for index in range(4)]
    assert len(store["brief_states"].tensors(0)["brief_states"]) == len(set(texts))
    views = sum(len(made.views.distinct(made.source[index])) for index in range(4))
    assert len(store["latents"].tensors(0)["edited_mean"]) == views


def test_a_lost_text_store_is_made_without_pictures_where_it_can(tmp_path, module):
    source = CountedSource()
    made = builder(tmp_path, module, source)
    made.build()
    for part in range(3):
        made.stores[1][1].file(part).unlink()
    again = builder(tmp_path, module, source)
    again.build()
    assert (again.missing(), source.drawn) == ([], COUNT)


def test_two_jobs_at_once_leave_one_whole_cache(tmp_path, module):
    jobs = [builder(tmp_path, module) for _ in range(2)]
    threads = [threading.Thread(target=job.build) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jobs[0].missing() == []
    assert [file for file in tmp_path.rglob("*") if file.suffix == ".unfinished"] == []
    alone = builder(tmp_path / "alone", module)
    alone.build()
    for (_, one), (_, other) in zip(jobs[0].stores, alone.stores, strict=True):
        for part in range(3):
            both = one.tensors(part), other.tensors(part)
            assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


def test_the_estimate_is_what_is_written(tmp_path, module, caplog):
    made = builder(tmp_path, module)
    with caplog.at_level("INFO"):
        made.check_room(tmp_path, 1e9)
    made.build()
    latent_bytes = (
        sum(tensor.nbytes for part in range(3) for tensor in made.stores[0][1].tensors(part).values()) - COUNT * 2 * 8
    )
    assert f"latents {latent_bytes / 1e9:.3g} GB" in caplog.text


def test_too_little_room_is_refused_before_anything_is_written(tmp_path, module):
    made = builder(tmp_path, module)
    with pytest.raises(ValueError, match=r"latents .* GB.*cache\.limit_gb=1e-06.*cache\.dtype=float16"):
        made.check_room(tmp_path, 1e3)
    assert list(tmp_path.iterdir()) == []


def test_narrow_storage_halves_the_disk(tmp_path, module):
    whole, half = builder(tmp_path / "a", module), builder(tmp_path / "b", module, dtype=torch.float16)
    whole.build()
    half.build()
    exact, narrow = whole.stores[0][1].tensors(0)["edited_mean"], half.stores[0][1].tensors(0)["edited_mean"]
    assert narrow.nbytes * 2 == exact.nbytes
    torch.testing.assert_close(narrow.float(), exact, atol=1e-3, rtol=1e-3)


def test_crops_are_those_of_the_first_epochs(tmp_path, module):
    transform = PairTransform(SIZE, min_size=SIZE, max_size=2 * SIZE, flip=0.5, flip_sided=True)
    with pytest.raises(ValueError, match=r"crops are random.*cache\.crops=8"):
        Views(transform)
    made = builder(tmp_path, module, transform=transform, crops=3)
    made.build()
    pairs, cached = TransformedPairs(made.source, transform), recalled(made)
    for epoch in range(6):
        seen = PairBatch.collate([pairs[(epoch % 3, index)] for index in range(COUNT)])
        known = PairBatch.collate([cached[(epoch, index)] for index in range(COUNT)])
        expected = module.autoencoder.posterior(seen.original_image).mean
        torch.testing.assert_close(known.cached["original_mean"], expected, atol=1e-5, rtol=1e-5)


def test_another_network_is_another_address(tmp_path, module):
    before = [store.folder.name for _, store in builder(tmp_path, module).stores]
    assert [store.folder.name for _, store in builder(tmp_path, tiny_module().requires_grad_(False)).stores] == before
    with torch.no_grad():
        next(iter(module.autoencoder.vae.encoder.parameters())).view(-1)[0] += 1e-3
        next(iter(module.conditioner.text_encoder.parameters())).view(-1)[0] += 1e-3
    after = [store.folder.name for _, store in builder(tmp_path, module).stores]
    assert not set(before) & set(after)


def test_addresses_follow_what_matters_alone():
    flipped = PairTransform(SIZE, flip=0.5)
    assert Views(flipped).address() == Views(replace(flipped, flip=0.1, seed=7)).address()
    others = [replace(flipped, flip=0.0), replace(flipped, fit="centre_crop"), replace(flipped, resolution=8)]
    assert all(Views(other).address() != Views(flipped).address() for other in others)


def test_digests_see_configuration_and_not_the_last_call(module):
    encoder, tokenizer = module.conditioner.text_encoder, module.conditioner.tokenizer
    before = weights_digest(encoder), tokenizer_digest(tokenizer)
    tokenizer(["a", "b c"], padding="max_length", truncation=True, max_length=5)
    assert tokenizer_digest(tokenizer) == before[1]
    encoder.config.hidden_act = "gelu"
    assert weights_digest(encoder) != before[0]


def test_a_network_that_learns_is_refused(module):
    module.conditioner.text_encoder.requires_grad_(True)
    assert module.conditioner.encodings({"editing_loss"}) == []
    with pytest.raises(ValueError, match="learns"):
        Encoding("states", module.conditioner.text_encoder, lambda batch: {})


def test_a_damaged_part_is_named(tmp_path, module):
    made = builder(tmp_path, module)
    made.build()
    file = made.stores[0][1].file(1)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"{file.name} is missing or damaged.*remove it"):
        recalled(builder(tmp_path, module))[(0, 5)]


def test_a_store_says_what_it_depends_on(tmp_path, module):
    made = builder(tmp_path, module)
    made.build()
    written = json.loads((made.stores[0][1].folder / "address.json").read_text())
    assert written["views"]["resolution"] == SIZE
    assert written["pairs"] == COUNT
