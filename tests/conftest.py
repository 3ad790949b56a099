"""What the whole suite shares: an isolated home, tiny models of every family, the embedded model.

The user's caches stay out of it: FASTKV_HOME and HF_HOME point into a temporary folder from
before the first import. The one exception is the converted embedded model, which takes too long
to make for every run: it is made once in the user's own cache (or FASTKV_TEST_CACHE) and linked
into the temporary home.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.config import EMBEDDED_MODEL, cache_dir

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RunBenchmark = Callable[..., tuple[str, dict[str, Any]]]
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on.",
    "A language model reads a long document and writes a short summary of it.",
    "Keys and values of the tokens that matter are kept; the others are left out of the cache.",
    "What is the answer to the question? The answer is in the text, on page 42.",
    "In 1998 the committee met 3 times; in 1999 it met 14 times, and in 2000 not at all.",
] * 4

_home: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Point every cache into a temporary folder, before anything reads the environment.

    The workers of pytest-xdist inherit the controller's environment, so the user's own cache is
    noted once, under a name of its own.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Workers share the cores: with a thread for each core in every one, they stand in each
        # other's way.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    global _home  # noqa: PLW0603 (pytest's hooks share no object of our own)
    os.environ.setdefault("FASTKV_TEST_CACHE", str(cache_dir()))
    # Threads that spin while they wait take a tiny model 20 times as long on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _home = Path(tempfile.mkdtemp(prefix="fastkv-tests-"))
    os.environ["FASTKV_HOME"] = str(_home / "fastkv")
    os.environ["HF_HOME"] = str(_home / "huggingface")
    os.environ["FASTKV_CONFIG"] = str(_home / "config.toml")
    os.environ["OLLAMA_MODELS"] = str(_home / "ollama")
    os.environ["LLAMA_CACHE"] = str(_home / "llama.cpp")
    for name in (
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("begin") is None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary folder."""
    if _home is not None:
        shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session")
def fastkv_home() -> Path:
    """The cache folder of this test session: FASTKV_HOME is set to it, for subprocesses too."""
    home = cache_dir()
    home.mkdir(parents=True, exist_ok=True)
    return home


@pytest.fixture(scope="session")
def embedded_dir(fastkv_home: Path) -> Path:
    """The folder with the embedded model's config and tokenizer, linked into FASTKV_HOME.

    A test that asks for this fixture may also load `smollm2-135m` by its name.
    """
    from fastkv_cli.engine.model.gguf import prepare_gguf
    from fastkv_cli.models import resolve_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTKV_HOME", os.environ["FASTKV_TEST_CACHE"])
        files = resolve_model(EMBEDDED_MODEL, offline=False, on_progress=None)
        assert files.gguf is not None
        if not files.is_prepared:
            prepare_gguf(files.gguf, files.path)
    for kind, path in (("models", files.path), ("downloads", files.gguf)):
        link = fastkv_home / kind / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path)
    return files.path


@pytest.fixture
def plain_folder(embedded_dir: Path, tmp_path: Path) -> Path:
    """The embedded model's first two layers as a folder with safetensors, in bfloat16."""
    from safetensors.torch import save_file

    from fastkv_cli.config import DType
    from fastkv_cli.engine.model.loader import load_model

    folder = tmp_path / "model"
    shutil.copytree(embedded_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 2, "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load_model(
        EMBEDDED_MODEL, dtype=DType.BFLOAT16, device="cpu", offline=True, unpacked=True
    )
    early = ("model.layers.0.", "model.layers.1.")
    kept = {
        name: weight
        for name, weight in loaded.model.state_dict().items()
        if name.startswith(early) or (".layers." not in name and not name.startswith("lm_head"))
    }
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny random models, one for each family and each of its variants.

    Hidden size 64, 4 layers, 4 query heads, 2 KV heads, float32. The weights are spread widely
    (initializer_range 0.2), so that greedy tokens differ from place to place. Each is made when it
    is first asked for: all take a few seconds, and most test files need one.
    """
    return TinyModels(tmp_path_factory.mktemp("tiny-models"))


class TinyModels(dict[str, Path]):
    """The folders by the names of `tiny_settings`."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, name: str) -> Path:
        self[name] = save_tiny_model(self.root / name, name, tiny_tokenizer())
        return self[name]


def tiny_settings() -> dict[str, dict[str, Any]]:
    """The settings in which each tiny model differs from the others, by its name."""
    mixed = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    linear = "linear_attention"
    llama3 = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    # Trained on 128 positions, stretched to 2,048: both YaRN and the position-dependent scaling of
    # the queries show in a short test.
    yarn = {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 16.0,
        "original_max_position_embeddings": 128,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.1,
    }
    longrope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1 + 0.1 * each for each in range(8)],
        "long_factor": [2.0 + each for each in range(8)],
        "original_max_position_embeddings": 100,
    }
    partial = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    delta_net = {
        "layer_types": [linear, "full_attention", "full_attention", linear],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 16,
        "rope_parameters": partial | {"mrope_section": [2, 1, 1]},
    }
    mixture = {
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 48,
    }
    return {
        "llama": {"model_type": "llama"},
        "mistral": {"model_type": "mistral", "sliding_window": None},
        "mistral-sliding": {"model_type": "mistral", "sliding_window": 48},
        "nemo": {"model_type": "mistral", "sliding_window": None, "head_dim": 32},
        "ministral": {"model_type": "ministral", "sliding_window": 48, "layer_types": mixed},
        "ministral3": {"model_type": "ministral3", "rope_parameters": yarn},
        "qwen2": {"model_type": "qwen2"},
        "qwen3": {"model_type": "qwen3"},
        "qwen3-moe": {
            "model_type": "qwen3_moe",
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 32,
            "norm_topk_prob": True,
            "mlp_only_layers": [2],
        },
        "phi3": {"model_type": "phi3"},
        "phi3-partial": {"model_type": "phi3", "rope_parameters": partial},
        "phi3-longrope": {
            "model_type": "phi3",
            "rope_parameters": longrope,
            "original_max_position_embeddings": 100,
        },
        "gemma3": {
            "model_type": "gemma3_text",
            "sliding_window": 48,
            "layer_types": mixed,
            "head_dim": 32,
            "query_pre_attn_scalar": 256,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0},
            },
        },
        "olmo3": {
            "model_type": "olmo3",
            "sliding_window": 48,
            "layer_types": mixed,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": yarn,
            },
        },
        "gpt-oss": {
            "model_type": "gpt_oss",
            "sliding_window": 48,
            "layer_types": mixed,
            "num_local_experts": 8,
            "num_experts_per_tok": 3,
            "swiglu_limit": 2.0,  # the clamping shows in random weights
            "rope_parameters": yarn | {"truncate": False},
        },
        "granite": {
            "model_type": "granite",
            "embedding_multiplier": 6.0,
            "attention_multiplier": 0.11,  # a Llama's is 0.25
            "residual_multiplier": 0.4,
            "logits_scaling": 7.0,
        },
        "smollm3": {"model_type": "smollm3", "no_rope_layer_interval": 2},
        "glm4": {"model_type": "glm4"},
        "llama3-rope": {"model_type": "llama", "rope_parameters": llama3},
        "qwen3_5": delta_net | {"model_type": "qwen3_5_text"},
        "qwen3_5-moe": delta_net | mixture | {"model_type": "qwen3_5_moe_text"},
        "qwen3-next": delta_net | mixture | {"model_type": "qwen3_next"},
        "lfm2": {
            "model_type": "lfm2",
            "layer_types": ["conv", "full_attention", "full_attention", "conv"],
            "block_multiple_of": 32,
        },
    }


def save_tiny_model(folder: Path, name: str, tokenizer: Any) -> Path:
    import transformers

    config = transformers.AutoConfig.for_model(**tiny_config(name, tokenizer))
    model = random_model(transformers.AutoModelForCausalLM, config, name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_config(name: str, tokenizer: Any) -> dict[str, Any]:
    """All settings of a tiny model, `model_type` among them."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    } | tiny_settings()[name]


def random_model(auto_class: Any, config: Any, name: str) -> Any:
    """A model of one of transformers' auto classes, in float32; the name seeds its weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(name.encode()))
        model = auto_class.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                # Fresh biases are 0 and fresh norms 1: both would hide an engine that skips them.
                if key.endswith(("bias", "sinks")):
                    weight.normal_(0, 0.2)
                elif "norm" in key:
                    weight.uniform_(0.5, 1.5)
    return model


def tiny_tokenizer() -> Any:
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    # As in SmolLM, whose GGUF files the tiny one is like.
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=384,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=SPECIAL_TOKENS,
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def environment(**changes: object) -> dict[str, str]:
    """The environment for a subprocess of a test: ours, with these variables set."""
    return os.environ | {name: str(value) for name, value in changes.items()}


@pytest.fixture
def without_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read documents as where the ocr extra is not installed."""
    from fastkv_cli.documents.ocr import extra

    monkeypatch.setattr(extra, "is_installed", lambda: False)


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the embedded model as where its package, which benchmarks install, is not there."""
    from fastkv_cli.models import embedded

    monkeypatch.setattr(embedded, "_installed_gguf", lambda: None)


@pytest.fixture(scope="session")
def tiny_gguf(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as a GGUF file, in float32."""
    from gguf_files import write_gguf

    return write_gguf(tmp_path_factory.mktemp("tiny-gguf") / "tiny.gguf", tiny_models["llama"])


@pytest.fixture
def options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> list[str]:
    """Options for a quick run, in a folder of its own with texts in it."""
    from processes import quick_options

    return quick_options(tmp_path, monkeypatch, tiny_models)


@pytest.fixture
def endless(options: list[str], tiny_models: dict[str, Path], tmp_path: Path) -> list[str]:
    """Options for a run that ends only when it is made to."""
    from processes import endless_options

    return endless_options(options, tiny_models, tmp_path)


@pytest.fixture
def run_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunBenchmark:
    """Runs a script of benchmarks/; gives what it prints, and its last line as JSON.

    In this process, as most of the time of a short one goes to importing torch.
    """

    def run(name: str, *arguments: str) -> tuple[str, dict[str, Any]]:
        script = str(BENCHMARKS / name)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        runpy.run_path(script, run_name="__main__")
        stdout = capsys.readouterr().out
        return stdout, json.loads(stdout.splitlines()[-1])

    return run
