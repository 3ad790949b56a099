"""Names to models in memory: every family, every choice of hardware, every way to be broken."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import conftest
import pytest
import tokenizers
import torch
from cases import load_tiny
from checks import Checks

from fastkv_cli import Engine, Full
from fastkv_cli.config import Attention, DType
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.model.hardware import choose_device, choose_dtype, choose_kernel
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.errors import ModelError, UsageError

CPU = torch.device("cpu")

LOAD_OFFLINE = """
import json, socket, sys

def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"}:
        raise RuntimeError(f"a socket was opened: {event} {arguments}")

sys.addaudithook(watch)
from fastkv_cli.config import DType
from fastkv_cli.engine.model.loader import load_model

for name in sys.argv[1:]:
    loaded = load_model(name, dtype=DType.FLOAT32, device="cpu", offline=True)
    print(json.dumps([loaded.revision, sorted(loaded.eos_ids)]))
"""


def copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


@pytest.mark.parametrize("name", sorted(conftest.tiny_settings()))
def test_every_family_loads_in_silence(
    name: str, tiny_models: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_models[name]
    capfd.readouterr()  # saving a model shows its progress
    loaded = load_model(str(folder), dtype=DType.FLOAT32, device="cpu")
    assert capfd.readouterr() == ("", "")
    assert loaded.model.config.model_type == conftest.tiny_settings()[name]["model_type"]
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    assert (loaded.device, loaded.kernel) == (CPU, Kernel.SDPA)
    assert (loaded.max_context, loaded.eos_ids, loaded.revision) == (2048, frozenset({2}), "local")
    assert 0 < loaded.load_s < 30


def test_loading_leaves_logging_as_it_was(tiny_models: dict[str, Path]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_model(str(tiny_models["llama"]), device="cpu")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_dtype_is_that_of_the_weights(tiny_models: dict[str, Path]) -> None:
    for dtype, expected in ((DType.BFLOAT16, torch.bfloat16), (DType.FLOAT16, torch.float16)):
        loaded = load_model(str(tiny_models["qwen3"]), dtype=dtype, device="cpu")
        assert loaded.dtype is expected
        assert {weight.dtype for weight in loaded.model.parameters()} == {expected}


def test_every_end_of_a_turn_ends_an_answer(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(tiny_models["llama"], tmp_path / "model")
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps(generation | {"eos_token_id": [0, 7]})
    )
    assert load_model(str(folder), device="cpu").eos_ids == {0, 2, 7}


def test_the_end_of_a_channel_ends_no_answer(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    marks = ("<|return|>", "<|call|>", "<|end|>")
    with Checks() as check:
        for family, ends in (("gpt-oss", marks[:2]), ("phi3", marks[2:])):
            folder = copy(tiny_models[family], tmp_path / family)
            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            ids = {mark: tokenizer.get_vocab_size() + n for n, mark in enumerate(marks)}
            tokenizer.add_special_tokens(list(marks))
            tokenizer.save(str(folder / "tokenizer.json"))
            found = load_model(str(folder), device="cpu").eos_ids
            with check(family):
                assert found & set(ids.values()) == {ids[end] for end in ends}


@torch.no_grad()
@pytest.mark.parametrize("dtype", [DType.BFLOAT16, DType.FLOAT16])
def test_norms_in_float32_leave_the_model_in_16_bits(
    tiny_models: dict[str, Path], dtype: DType
) -> None:
    """Those of gpt-oss stay so in float16."""
    engine = Engine(load_model(str(tiny_models["gpt-oss"]), dtype=dtype, device="cpu"))
    prompt_ids = list(range(3, 130))
    found = engine.generate(prompt_ids, Full(), 4).first_logits
    exact = load_tiny(tiny_models["gpt-oss"]).generate(prompt_ids, Full(), 1).first_logits
    assert engine.decoder.dtype is engine.loaded.dtype
    assert torch.dist(found, exact) < 0.05 * exact.norm()


def test_a_gguf_file_gives_what_the_original_gives(
    tiny_gguf: Path, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path))
    original = load_tiny(tiny_models["llama"])
    for _ in range(2):
        loaded = load_model(str(tiny_gguf), dtype=DType.FLOAT32, device="cpu")
        found, expected = (
            engine.generate(list(range(3, 60)), Full(), 8) for engine in (Engine(loaded), original)
        )
        assert torch.allclose(found.first_logits, expected.first_logits, atol=1e-4)
        assert found.token_ids == expected.token_ids
        (folder,) = (tmp_path / "models").glob("tiny-*")
        assert loaded.revision in folder.name


def test_the_embedded_model_loads_from_its_file(embedded_dir: Path) -> None:
    """Its matrices stay there; nothing but config and tokenizer was written."""
    loaded = load_model("smollm2-135m", device="cpu", offline=True)
    assert (loaded.max_context, loaded.eos_ids) == (8192, frozenset({2}))
    assert loaded.model.config.num_hidden_layers == 30
    assert loaded.revision == "b179c9523d0e"
    assert sum(weight.numel() for weight in loaded.model.parameters()) == 61 * 576  # the norms
    written = sum(path.stat().st_size for path in embedded_dir.iterdir())
    assert written < 0.05 * 98_362_432
    assert loaded.model.lm_head.tensor is loaded.model.model.embed_tokens.tensor


def test_offline_opens_no_socket(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    name, revision = "someone/tiny-model", "0123456789abcdef0123456789abcdef01234567"
    storage = tmp_path / "hub" / "models--someone--tiny-model"
    copy(tiny_models["qwen3"], storage / "snapshots" / revision)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(revision)
    ended = subprocess.run(
        [sys.executable, "-c", LOAD_OFFLINE, name, f"{name}@{revision}", f"{name}@main"],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env=conftest.environment(HF_HOME=tmp_path),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [[revision, [2]]] * 3


def test_remote_code_is_never_run(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(tiny_models["llama"], tmp_path / "model")
    (folder / "evil.py").write_text("raise SystemExit('remote code ran')\n")
    for file, keys in (
        ("config.json", {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}),
    ):
        settings = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(settings | {"auto_map": keys}))
    assert load_model(str(folder), device="cpu").model.config.model_type == "llama"


def test_broken_folders_are_one_line(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    def broken(name: str) -> Path:
        return copy(tiny_models["llama"], tmp_path / name)

    cut = broken("cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1000])
    less = broken("less") / "model.safetensors"
    weights = load_file(less)
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, less, {"format": "pt"})
    other = broken("other") / "config.json"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"intermediate_size": 96}))
    tokens = broken("tokens") / "tokenizer.json"
    tokens.write_text("{")
    odd = broken("odd") / "config.json"
    odd.write_text(json.dumps(json.loads(odd.read_text()) | {"num_attention_heads": 0}))
    for name in ("cut", "less", "other", "tokens", "odd"):
        with pytest.raises(ModelError) as raised:
            load_model(str(tmp_path / name), device="cpu")
        assert "\n" not in str(raised.value)
        assert name in str(raised.value)


def test_devices_are_checked_against_what_is_there() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("gpu", "cuda:x", "cuda:", "", "CPU:0"):
        with pytest.raises(UsageError, match=r"unknown device .* cpu"):
            choose_device(name)
    with pytest.raises(UsageError, match=r"there is no device cuda:99: this machine has cpu"):
        choose_device("cuda:99")


def test_dtype_auto_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    for feature, expected in (("avx512_bf16", torch.bfloat16), ("avx2", torch.float32)):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda f=feature: {f: True}, raising=False
        )
        assert choose_dtype(DType.AUTO, CPU) is expected
    for capability, expected in (((9, 0), torch.bfloat16), ((7, 5), torch.float16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert choose_dtype(DType.AUTO, gpu) is expected
    assert choose_dtype(DType.FLOAT32, gpu) is torch.float32


def test_attention_auto_and_by_name() -> None:
    gpu = torch.device("cuda", 0)
    assert choose_kernel(Attention.AUTO, CPU, torch.bfloat16) is Kernel.BLOCKED
    assert choose_kernel(Attention.AUTO, CPU, torch.float32) is Kernel.BLOCKED
    assert choose_kernel(Attention.AUTO, CPU, torch.float32, is_exact=True) is Kernel.SDPA
    assert choose_kernel(Attention.SDPA, CPU, torch.float32) is Kernel.SDPA
    assert choose_kernel(Attention.SDPA, CPU, torch.bfloat16) is Kernel.SDPA
    assert choose_kernel(Attention.AUTO, gpu, torch.float32) is Kernel.SDPA
    with pytest.raises(UsageError, match=r"CUDA.*pip install 'fastkv-cli\[flash\]'"):
        choose_kernel(Attention.FLASH, CPU, torch.bfloat16)
    with pytest.raises(UsageError, match="bfloat16 or float16"):
        choose_kernel(Attention.FLASH, gpu, torch.float32)


@pytest.mark.skipif(
    importlib.util.find_spec("flash_attn") is not None,
    reason="flash-attn is installed",
)
def test_flash_without_its_package_names_the_extra() -> None:
    gpu = torch.device("cuda", 0)
    assert choose_kernel(Attention.AUTO, gpu, torch.bfloat16) is Kernel.SDPA
    with pytest.raises(UsageError, match=r"pip install 'fastkv-cli\[flash\]'"):
        choose_kernel(Attention.FLASH, gpu, torch.bfloat16)
