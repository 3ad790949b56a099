"""Converting GGUF files: the same numbers, the same tokens, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from gguf_files import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from fastkv_cli.engine.model.gguf import convert
from fastkv_cli.errors import ModelError
from fastkv_cli.models import Progress

IDS = torch.arange(3, 90).unsqueeze(0)

CONVERT = """
import sys
from pathlib import Path
from fastkv_cli.engine.model.gguf import convert

def tell(progress):
    print(progress.activity, flush=True)
    if sys.argv[3] == "hang" and progress.activity.endswith("writing"):
        if progress.done:
            sys.stdin.read()

convert(Path(sys.argv[1]), Path(sys.argv[2]), tell)
"""


def run(gguf: Path, target: Path, how: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CONVERT, str(gguf), str(target), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logits(folder: Path) -> torch.Tensor:
    """Computed in float32 from weights rounded to bfloat16, as conversions store them."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).float()
    with torch.no_grad():
        result: torch.Tensor = model(IDS).logits
    return result


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "phi3-partial"])
def test_conversion_computes_what_the_original_does(
    name: str, tiny_models: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gguf = write_gguf(tmp_path / f"{name}.gguf", tiny_models[name])
    capfd.readouterr()
    told: list[Progress] = []
    convert(gguf, tmp_path / "out", told.append)
    assert capfd.readouterr() == ("", "")
    assert any("writing" in progress.activity for progress in told)
    assert torch.allclose(logits(tmp_path / "out"), logits(tiny_models[name]), atol=1e-4)


def test_conversion_holds_a_clean_config_and_the_tokenizer(
    tiny_gguf: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "models" / "tiny"
    convert(tiny_gguf, target)
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["dtype"], config["eos_token_id"], config["bos_token_id"]) == ("bfloat16", 2, 1)
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


def test_tied_embeddings_are_stored_once(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors import safe_open

    tied = AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    tied.lm_head.weight = tied.model.embed_tokens.weight
    tied.config.tie_word_embeddings = True
    tied.save_pretrained(tmp_path / "tied")
    for file in tiny_models["llama"].glob("*token*"):
        (tmp_path / "tied" / file.name).write_bytes(file.read_bytes())
    source = write_gguf(tmp_path / "tied.gguf", tmp_path / "tied")
    # llama.cpp leaves the output matrix out when it is the embedding matrix.
    untied = drop_tensor(source, tmp_path / "one.gguf", "output.weight")
    convert(untied, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (not a dict)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    assert torch.allclose(logits(tmp_path / "out"), logits(tmp_path / "tied"), atol=1e-4)


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
    convert(gguf, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "config.json").read_text())["rope_parameters"]
    assert found == scaled

    odd = write_gguf(tmp_path / "b.gguf", folder, rope_freqs=divisors * 1.5 + 1)
    with pytest.raises(ModelError, match="rotary embeddings by factors other"):
        convert(odd, tmp_path / "other")


def test_incomplete_and_broken_files_leave_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    missing = drop_tensor(tiny_gguf, tmp_path / "less.gguf", "blk.1.ffn_down.weight")
    with pytest.raises(ModelError, match="1 tensors are missing"):
        convert(missing, tmp_path / "models" / "less")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_gguf.read_bytes()[:200_000])
    with pytest.raises(ModelError, match=r"cut.gguf is not a GGUF .*it is cut off") as raised:
        convert(cut, tmp_path / "models" / "cut")
    assert "\n" not in str(raised.value)
    assert leftovers(tmp_path / "models") == []


def test_two_processes_at_once_leave_one_good_model(
    tiny_gguf: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "models" / "tiny"
    both = [run(tiny_gguf, target), run(tiny_gguf, target)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum("writing" in out for out, _ in ended) == 1
    assert leftovers(target.parent) == ["tiny"]
    assert torch.allclose(logits(target), logits(tiny_models["llama"]), atol=1e-4)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_kill_half_way_leaves_no_broken_model(tiny_gguf: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    process = run(tiny_gguf, target, "hang")
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.rstrip().endswith("writing") and any(
            target.parent.glob(".tiny.part-*/config.json")
        ):
            break
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(leftovers(target.parent)) == 1
    convert(tiny_gguf, target)
    assert leftovers(target.parent) == ["tiny"]
    assert logits(target).isfinite().all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_clear_error(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0o555)
    with pytest.raises(ModelError, match=r"cannot write .*Permission denied.*FASTKV_HOME"):
        convert(tiny_gguf, tmp_path / "models" / "tiny")


def test_a_cache_that_is_a_file_is_one_clear_error(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write .*FASTKV_HOME"):
        convert(tiny_gguf, tmp_path / "models" / "tiny")


def test_a_full_disk_is_told_before_anything_is_written(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one thing that cannot be had for real here is a disk that is full.
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=9))
    with pytest.raises(ModelError, match="GB left: free some space"):
        convert(tiny_gguf, tmp_path / "models" / "tiny")
    assert leftovers(tmp_path / "models") == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_write_that_fails_leaves_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    limited = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
{CONVERT}
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
    assert last.startswith("fastkv_cli.errors.ModelError: cannot write the converted model to")
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
