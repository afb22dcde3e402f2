"""Checkpoints that somebody made to do harm, or that are damaged: one sentence, and nothing else happens."""

from __future__ import annotations

import copy
import http.server
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import tiny_loader, tiny_module
from PIL import Image

from ip2p_lightning.cli import main
from ip2p_lightning.jobs.resuming import check_resumable
from ip2p_lightning.limits import LimitError
from ip2p_lightning.methods.checkpoint import CheckpointError, load_module, read_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a sound checkpoint holds."""
    from factories import quiet_trainer

    path, module = tmp_path_factory.mktemp("run") / "last.ckpt", tiny_module()
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, tiny_loader(1))
    trainer.save_checkpoint(path)
    return torch.load(path, weights_only=True)


@pytest.fixture
def with_(sound: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """`with_({"conditioner": {}})` saves one with that in its configuration, `with_(stage=1)` one with that entry."""

    def save(config: dict[str, Any] | None = None, /, **entries: Any) -> Path:
        stored = copy.deepcopy(sound)
        stored["config"] |= config or {}
        torch.save(stored | entries, tmp_path / "x.ckpt")
        return tmp_path / "x.ckpt"

    return save


def tokenizer(target: str, **arguments: Any) -> dict[str, Any]:
    """The configuration's change that puts this in the place of the tokenizer."""
    from factories import TEXT

    return {"conditioner": TEXT | {"tokenizer": {"_target_": target, **arguments}}}


def canary_folder(folder: Path) -> Path:
    """A tokenizer whose code makes the file `canary`."""
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil_tok.Tok", null]}}')
    (folder / "config.json").write_text('{"model_type": "x", "auto_map": {"AutoConfig": "evil_tok.Tok"}}')
    (folder / "evil_tok.py").write_text(f"open({str(folder.parent / 'canary')!r}, 'w').close()\nclass Tok: pass\n")
    return folder


AUTO = "transformers.AutoTokenizer.from_pretrained"
LOADER = "ip2p_lightning.models.loading.load_tokenizer"


@pytest.mark.parametrize("remote", [True, 1, "yes", 2, "False", [1], None, "absent"])
@pytest.mark.parametrize("target", [AUTO, LOADER])
def test_a1_code_of_a_tokenizer_does_not_run(
    target: str, remote: Any, with_: Callable[..., Path], tmp_path: Path
) -> None:
    place = str(canary_folder(tmp_path / "toktrc"))
    name = "pretrained_model_name_or_path" if target == AUTO else "weights"
    options = {} if remote == "absent" else {"trust_remote_code": remote}
    path = with_(tokenizer(target, **{name: place}, **options))
    for trust in ((), (place,)):  # not even where the user has named the folder
        with pytest.raises(ValueError, match=r"trust_remote_code|refers to weights|no tokenizer"):
            load_module(path, trust=trust)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("weights_only", ["", [], {}, 0, False, None])
def test_a1_pickles_of_a_folder_are_not_read(weights_only: Any, with_: Callable[..., Path], tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "canary"),)

    (tmp_path / "enc").mkdir()
    (tmp_path / "enc" / "config.json").write_text('{"model_type": "clip_text_model"}')
    torch.save({"x": Bomb()}, tmp_path / "enc" / "pytorch_model.bin")
    from factories import TEXT

    for target, name in (
        ("transformers.CLIPTextModel.from_pretrained", "pretrained_model_name_or_path"),
        ("ip2p_lightning.models.text_encoder.load_text_encoder", "weights"),
    ):
        encoder = {"_target_": target, name: str(tmp_path / "enc"), "weights_only": weights_only}
        with pytest.raises(ValueError, match=r"may not be built|weights_only"):
            load_module(with_({"conditioner": TEXT | {"text_encoder": encoder}}))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "source",
    [
        {"_target_": "torch.load", "f": "e.pt", "weights_only": False},
        {"_target_": "joblib.load", "filename": "e.pt"},
        {"_target_": "numpy.load", "file": "e.npy", "allow_pickle": True},
        {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x", "source": "local"},
        {"_target_": "lightning.fabric.utilities.cloud_io._load", "path_or_url": "e.pt"},
        {"_target_": "numpy.savetxt", "fname": "canary", "X": [1]},
        {"_target_": "os.system", "command": "touch canary"},
    ],
)
def test_a2_zoo_add_builds_nothing_of_the_run_s_configuration(
    source: dict[str, Any], with_: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import yaml

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "canary"),)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.pt").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "hubconf.py").write_text("open('canary', 'w').close()")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with_().rename(tmp_path / "run" / "checkpoints" / "last.ckpt")
    for train in (source, [source], {"_target_": "x.Y", "deep": [source]}):
        recipe = {"seed": 0, "data": {"batch_size": 4, "train": train}}
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(recipe))
        words = ["name=instruct_pix2pix", "checkpoint=run/checkpoints/last.ckpt", "root=zoo"]
        assert main(["zoo", "add", *words]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()


def test_a2_yaml_that_unfolds_without_end_is_refused(with_: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    path = with_().rename(tmp_path / "run" / "checkpoints" / "last.ckpt")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "run" / "config.yaml").write_text("\n".join(lines))
    assert main(["zoo", "add", "name=judge", f"checkpoint={path}", f"root={tmp_path / 'zoo'}"]) == 2
    assert "IP2P_LIMIT_STORED_VALUES" in capsys.readouterr().err


def test_a3_nobody_is_asked_whether_code_may_run(with_: Callable[..., Path], tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    path = with_(tokenizer(AUTO, pretrained_model_name_or_path=str(canary_folder(tmp_path / "toktrc"))))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "ip2p_lightning", "edit", f"checkpoint={path}", f"image={tmp_path / 'a.png'}",
               "instruction=x", f"output={tmp_path / 'o.png'}", f"trust=[{tmp_path / 'toktrc'}]"]  # fmt: skip
    leader, follower = pty.openpty()
    os.write(leader, b"y\n" * 20)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    os.close(leader)
    assert done.returncode == 2, done.stdout
    assert b"[y/N]" not in done.stdout
    assert b"trust_remote_code" not in done.stdout
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize("name", ["package:antigravity.x", "package:lib2to3.__main__.x", "package:this", "package:os"])
@pytest.mark.parametrize("target", [LOADER, "ip2p_lightning.models.causal_lm.load_causal_lm"])
def test_a4_no_package_is_imported(name: str, target: str, with_: Callable[..., Path]) -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError, match="refers to weights"):
        load_module(with_(tokenizer(target, weights=name)))
    assert not {"antigravity", "lib2to3", "lib2to3.__main__", "this"} & (set(sys.modules) - before)


def test_a6_nothing_is_written(with_: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "ANY"
    trainer = {"_target_": "transformers.TrainingArguments", "output_dir": str(folder)}
    for change in (
        tokenizer("ip2p_lightning.world.tokenizer.train_tokenizer", corpus=["a b c"], folder=str(folder)),
        tokenizer("transformers.TrainingArguments", output_dir=str(folder)),
        tokenizer("transformers.Trainer", args=trainer),
        tokenizer("lightning.pytorch.loggers.CSVLogger", save_dir=str(folder)),
        {"dropout": trainer},
        {"stages": [{"_target_": "tempfile.mkdtemp", "dir": str(tmp_path)}]},
    ):
        with pytest.raises(ValueError, match="may not be built"):
            load_module(with_(change))
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests that reach a hub which libraries are told to use, with a user's token and without offline mode."""
    seen: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    from huggingface_hub import constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield seen
    server.shutdown()


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (AUTO, {"pretrained_model_name_or_path": "attacker/tok"}),
        (AUTO, {"pretrained_model_name_or_path": "attacker/tok", "trust_remote_code": "yes"}),
        (LOADER, {"weights": "attacker/tok"}),
        ("ip2p_lightning.models.causal_lm.load_causal_lm", {"weights": "attacker/tok"}),
        ("transformers.AutoConfig.from_pretrained", {"pretrained_model_name_or_path": "attacker/tok"}),
        ("huggingface_hub.snapshot_download", {"repo_id": "attacker/tok"}),
        ("transformers.DetrModel", {"config": {"_target_": "transformers.DetrConfig", "backbone": "resnet50"}}),
        ("open_clip.create_model", {"model_name": "hf-hub:attacker/tok"}),
    ],
)
def test_a7_no_hub_is_asked(target: str, arguments: dict[str, Any], with_: Callable[..., Path], hub: list[str]) -> None:
    with pytest.raises(ValueError, match=r"may not be built|refers to weights|trust_remote_code"):
        load_module(with_(tokenizer(target, **arguments)))
    assert hub == []


def test_a7_a_sound_checkpoint_asks_no_hub_either(with_: Callable[..., Path], hub: list[str]) -> None:
    assert load_module(with_()).stage.name == "joint"
    assert hub == []


DAMAGE: list[tuple[str, dict[str, Any]]] = [
    ("number for a key", {"state_dict": {1: torch.zeros(1)}}),
    ("no tensor", {"state_dict": {"a": 1}}),
    ("raw", {"raw_parameters": [1]}),
    ("raw value", {"raw_parameters": {"a": 1}}),
    ("pretrained list", {"pretrained": [1]}),
    ("pretrained value", {"pretrained": {"x": [1]}}),
    ("pretrained types", {"pretrained": {"x": ["a", 1]}}),
    ("callbacks", {"callbacks": "x"}),
    ("loops", {"loops": {}}),
    ("loops list", {"loops": [1]}),
    ("global_step text", {"global_step": "abc"}),
    ("global_step huge", {"global_step": 2**70}),
    ("global_step of many digits", {"global_step": 10**400}),
    ("global_step negative", {"global_step": -1}),
    ("config list", {"config": [1]}),
    ("config text", {"config": "x"}),
    ("data module", {"EditDataModule": [1, 2]}),
    ("stage", {"stage": 3}),
    ("optimizers", {"optimizer_states": "x"}),
]


@pytest.mark.parametrize(("what", "entries"), DAMAGE, ids=[what for what, _ in DAMAGE])
def test_damage_is_named(what: str, entries: dict[str, Any], with_: Callable[..., Path]) -> None:
    path = with_(**entries)
    for use in (load_module, lambda path: load_module(path, weights="raw"), read_checkpoint,
                lambda path: check_resumable(path, tiny_module())):  # fmt: skip
        with pytest.raises(CheckpointError, match=r"x\.ckpt: .*damaged"):
            use(path)


def test_nested_and_shared_values_are_bounded(with_: Callable[..., Path]) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    shared: Any = ["lol"] * 10
    for _ in range(8):
        shared = [shared] * 10
    itself = {"_target_": "ip2p_lightning.methods.checkpoint.load_part", "part": "conditioner"}
    for value in (deep, shared):
        with pytest.raises(LimitError, match=r"x\.ckpt: its configuration"):
            load_module(with_({"dropout": value}))
    path = with_()
    with pytest.raises(ValueError, match="may not be built"):
        load_module(with_({"conditioner": itself | {"checkpoint": str(path)}}))


def test_compressed_members_are_refused_unread(with_: Callable[..., Path], tmp_path: Path) -> None:
    path, bomb = with_(), tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in whole.infolist():
            packed.writestr(member.filename, bytes(2**26) if member.filename.endswith("data.pkl") else b"")
    assert bomb.stat().st_size < 2**18
    with pytest.raises(CheckpointError, match=r"bomb\.ckpt: its member .*data\.pkl' is compressed"):
        read_checkpoint(bomb)


PICKLES = {
    "a call": b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch canary\x85R.",
    "a call by name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch canary\x85R.",
    "an object": b"\x80\x02csubprocess\nPopen\nX\x05\x00\x00\x00touch\x85\x81.",
    "a build": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.",
    "an evaluation": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
    "a persistent load": b"\x80\x02X\x04\x00\x00\x00evilQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "a text of a terabyte": b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"x.",
    "bytes of a terabyte": b"\x80\x05\x8e" + (2**40).to_bytes(8, "little") + b"x.",
    "a frame that lies": b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"}.",
    "marks": b"\x80\x02" + b"(" * 400_000 + b".",
    "lists in lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "no end": b"\x80\x02}",
    "nothing": b"",
}


@pytest.mark.parametrize("what", PICKLES)
def test_pickles_by_hand_run_nothing(what: str, with_: Callable[..., Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path, made = with_(), tmp_path / "made.ckpt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(made, "w") as packed:
        for member in whole.infolist():
            packed.writestr(member, PICKLES[what] if member.filename.endswith("data.pkl") else whole.read(member))
    with pytest.raises(CheckpointError, match=r"made\.ckpt"):
        load_module(made)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["made.ckpt", "x.ckpt"]


def test_torch_files_of_old_and_bare_pickles_say_what_they_are(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    for name in ("old", "bare"):
        with pytest.raises(CheckpointError, match=r"a bare pickle or a torch file from before version 1\.6"):
            read_checkpoint(tmp_path / f"{name}.ckpt")


@pytest.mark.parametrize(("key", "value"), [("layers", 10**7), ("hidden_size", 20_000), ("max_length", 10**9)])
def test_networks_are_no_larger_than_their_weights(key: str, value: int, with_: Callable[..., Path]) -> None:
    from factories import TEXT

    changed = TEXT | {"text_encoder": TEXT["text_encoder"] | {key: value}}
    with pytest.raises(LimitError, match=r"x\.ckpt: (its configuration states a network with|.*IP2P_LIMIT_COUNTS)"):
        load_module(with_({"conditioner": changed}))


def test_a_model_of_nan_is_not_exported(
    with_: Callable[..., Path], sound: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    state = sound["state_dict"].items()
    broken = {name: tensor * float("nan") if tensor.is_floating_point() else tensor for name, tensor in state}
    path = with_(state_dict=broken)
    assert main(["export", f"checkpoint={path}", f"output={tmp_path / 'out'}"]) == 2
    assert "hold NaN or infinite values" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [torch.complex64, "sparse", "meta"])
def test_weights_of_another_kind_are_refused(kind: Any, with_: Callable[..., Path], sound: dict[str, Any]) -> None:
    name, tensor = next(iter(sound["state_dict"].items()))
    changed = tensor.to_sparse() if kind == "sparse" else tensor.to("meta") if kind == "meta" else tensor.to(kind)
    with pytest.raises(CheckpointError, match=r"x\.ckpt"):
        load_module(with_(state_dict=sound["state_dict"] | {name: changed}))
