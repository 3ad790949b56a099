"""GGUF files: the same numbers and tokens; what is written of them, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gguf_families import make_model, write_family
from gguf_files import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from fastkv_cli import Engine, Full
from fastkv_cli.engine.model.gguf import prepare_gguf
from fastkv_cli.errors import ModelError
from fastkv_cli.models.gguf_parts import part_files

IDS = list(range(3, 90))

PREPARE = """
import sys
from pathlib import Path
from fastkv_cli.engine.model.gguf import prepare_gguf

def tell(progress):
    print(progress.activity, flush=True)
    if sys.argv[3] == "hang":
        sys.stdin.read()

prepare_gguf(Path(sys.argv[1]), Path(sys.argv[2]), tell)
assert not {"torch", "transformers"} & set(sys.modules), "their import takes longer than the rest"
"""


def run(gguf: Path, target: Path, how: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(gguf), str(target), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_logits(model: Path) -> torch.Tensor:
    """The logits behind a prompt, computed in float32."""
    engine = Engine.load(str(model), device="cpu", dtype="float32")
    return engine.generate(IDS, Full(), 1).first_logits


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "phi3-partial"])
def test_a_file_computes_what_the_original_does(
    name: str,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    gguf = write_gguf(tmp_path / f"{name}.gguf", tiny_models[name])
    original = first_logits(tiny_models[name])
    capfd.readouterr()
    assert torch.allclose(first_logits(gguf), original, atol=1e-4)
    assert capfd.readouterr() == ("", "")


def test_the_folder_holds_a_clean_config_and_the_tokenizer(
    tiny_gguf: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "models" / "tiny"
    prepare_gguf(tiny_gguf, target)
    config = json.loads((target / "config.json").read_text())
    assert (config["model_type"], config["hidden_act"]) == ("llama", "silu")
    assert (config["eos_token_id"], config["bos_token_id"]) == (2, 1)
    assert config["tie_word_embeddings"] is False
    assert not [key for key in config if "quant" in key or "name_or_path" in key]
    assert str(tiny_gguf.parent) not in "".join(p.read_text() for p in target.glob("*.json"))
    ours = AutoTokenizer.from_pretrained(target)
    theirs = AutoTokenizer.from_pretrained(tiny_models["llama"])
    text = "<|im_start|>user\nWhat is on page 42?<|im_end|>\n"
    assert ours.encode(text) == theirs.encode(text)
    assert ours.decode(ours.encode(text + " Well , yes .")) == text + " Well , yes ."
    assert (ours.bos_token, ours.eos_token) == ("<|im_start|>", "<|im_end|>")
    chat = [{"role": "user", "content": "Hello"}]
    rendered = ours.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert leftovers(target.parent) == ["tiny"]
    assert target.stat().st_mode & 0o055 == 0o055


def test_tied_embeddings_are_the_head(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    tied = AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    tied.lm_head.weight = tied.model.embed_tokens.weight
    tied.config.tie_word_embeddings = True
    tied.save_pretrained(tmp_path / "tied")
    for file in tiny_models["llama"].glob("*token*"):
        (tmp_path / "tied" / file.name).write_bytes(file.read_bytes())
    source = write_gguf(tmp_path / "tied.gguf", tmp_path / "tied")
    # llama.cpp leaves the output matrix out when it is the embedding matrix.
    untied = drop_tensor(source, tmp_path / "one.gguf", "output.weight")
    prepare_gguf(untied, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    assert torch.allclose(first_logits(untied), first_logits(tmp_path / "tied"), atol=1e-4)


def drop_tensor(source: Path, target: Path, name: str) -> Path:
    """Copy a GGUF file without one of its tensors."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kinds = field.types
            writer.add_key_value(
                key, field.contents(), kinds[0], kinds[1] if len(kinds) > 1 else None
            )
    for tensor in reader.tensors:
        if tensor.name != name:
            writer.add_tensor(tensor.name, tensor.data.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def test_llama3_scaling_is_recovered_from_its_factors(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    config = AutoModelForCausalLM.from_pretrained(tiny_models["llama"]).config
    plain = config.rope_parameters | {"rope_theta": 500000.0}
    scaled = plain | {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config.rope_parameters = scaled
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    original = 500000.0 ** -(torch.arange(0, 16, 2) / 16)
    folder = tmp_path / "source"
    folder.mkdir()
    for file in tiny_models["llama"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"rope_parameters": plain}))
    divisors = original / frequencies
    gguf = write_gguf(tmp_path / "a.gguf", folder, rope_freqs=divisors)
    prepare_gguf(gguf, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "config.json").read_text())["rope_parameters"]
    assert found == scaled

    odd = write_gguf(tmp_path / "b.gguf", folder, rope_freqs=divisors * 1.5 + 1)
    with pytest.raises(ModelError, match="rotary embeddings by factors other"):
        prepare_gguf(odd, tmp_path / "other")


def test_incomplete_and_broken_files_leave_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    missing = drop_tensor(tiny_gguf, tmp_path / "less.gguf", "blk.1.ffn_down.weight")
    with pytest.raises(ModelError, match="1 tensors are missing"):
        prepare_gguf(missing, tmp_path / "models" / "less")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_gguf.read_bytes()[:200_000])
    with pytest.raises(ModelError, match=r"cut.gguf is not a GGUF .*it is cut off") as raised:
        prepare_gguf(cut, tmp_path / "models" / "cut")
    assert "\n" not in str(raised.value)
    assert leftovers(tmp_path / "models") == []


def test_two_processes_at_once_leave_one_good_model(
    tiny_gguf: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "models" / "tiny"
    both = [run(tiny_gguf, target), run(tiny_gguf, target)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum("preparing tiny" in out for out, _ in ended) == 1
    assert leftovers(target.parent) == ["tiny"]


def test_any_part_of_a_split_file(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    source = tmp_path / "a.gguf"
    write_family(source, "qwen3", make_model("qwen3"), tiny_models["llama"], tensors_per_part=20)
    prepare_gguf(part_files(tmp_path / "a-00001-of-00003.gguf")[-1], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["head_dim"] == 32
    assert AutoTokenizer.from_pretrained(tmp_path / "out").tokenize("42") == ["4", "2"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_kill_half_way_leaves_no_broken_model(tiny_gguf: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    process = run(tiny_gguf, target, "hang")
    assert process.stdout is not None
    assert process.stdout.readline() == f"preparing {tiny_gguf.name}\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(leftovers(target.parent)) == 1
    prepare_gguf(tiny_gguf, target)
    assert leftovers(target.parent) == ["tiny"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_clear_error(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0o555)
    with pytest.raises(ModelError, match=r"cannot write .*Permission denied.*FASTKV_HOME"):
        prepare_gguf(tiny_gguf, tmp_path / "models" / "tiny")


def test_a_cache_that_is_a_file_is_one_clear_error(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write .*FASTKV_HOME"):
        prepare_gguf(tiny_gguf, tmp_path / "models" / "tiny")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_write_that_fails_leaves_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    limited = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
{PREPARE}
"""
    target = tmp_path / "models" / "tiny"
    ended = subprocess.run(
        [sys.executable, "-c", limited, str(tiny_gguf), str(target), "run"],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("fastkv_cli.errors.ModelError: cannot write the settings of tiny.gguf")
    assert last.endswith("free some space, or set FASTKV_HOME to another folder")
    assert leftovers(target.parent) == []


def test_the_embedded_model_speaks_its_own_template(embedded_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded_dir)
    chat = [{"role": "user", "content": "Hi"}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert rendered.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    pieces = [tokenizer.decode([token]) for token in tokenizer.encode("A\n\n1998")]
    assert pieces == ["A", "\n\n", "1", "9", "9", "8"]
    assert tokenizer.decode(tokenizer.encode("Ça, 日本 — 42%")) == "Ça, 日本 — 42%"
