"""Ways to break a model folder, for fuzz_models.py: its JSON files, template, and weights."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_inputs import WAYS
from fuzz_settings import HUGE, SETTINGS, TEMPLATES, VALUES

_JSON = (
    *(
        "config.json",
        "config.json",
        "config.json",
        "generation_config.json",
        "generation_config.json",
    ),
    *("tokenizer.json", "tokenizer.json", "tokenizer_config.json", "tokenizer_config.json"),
    "model.safetensors.index.json",
)
_WEIGHTS = "model.safetensors"
_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4976698672\n".format(
    "0" * 64
)


def break_folder(folder: Path, rng: random.Random) -> str:
    """Break a copy of a model folder in one to three ways; returns their names."""
    ways = rng.choices(_WAYS, k=rng.choice((1, 1, 1, 2, 3)))
    ways.sort(key=lambda way: way is replace_file)  # a pipe in a file's place is to be read last
    done = []
    for way in ways:
        try:
            done.append(way(folder, rng))
        except (OSError, TypeError, ValueError):  # of what an earlier way left there
            done.append("nothing")
    return ", ".join(done)


def _pick(folder: Path, rng: random.Random) -> Path | None:
    """A random JSON file of the folder that exists and can be read."""
    paths = [folder / name for name in _JSON]
    found = [path for path in paths if path.is_file() and path.stat().st_size]
    return rng.choice(found) if found else None


def change_json(folder: Path, rng: random.Random) -> str:
    """Replace, remove or add values somewhere in a JSON file."""
    path = _pick(folder, rng)
    content = _load(path)
    if path is None or content is None:
        return "nothing"
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = list(_places(content))
        if places:
            _change(*rng.choice(places), rng)
    _dump(path, content, rng)
    return f"change {path.name}"


def set_known(folder: Path, rng: random.Random) -> str:
    """Give known settings a value that they may not have."""
    path = _pick(folder, rng)
    content = _load(path)
    if path is None or not isinstance(content, dict):
        return "nothing"
    if path.name == "tokenizer.json" or rng.random() < 0.3:
        names = list(content)
    elif path.name.startswith("generation"):
        names = [name for name in SETTINGS if name.endswith(("_id", "temperature", "length"))]
    else:
        names = list(SETTINGS)
    for name in rng.sample(names, min(len(names), rng.choice((1, 1, 2)))):
        content[name] = copy.deepcopy(rng.choice(SETTINGS.get(name, VALUES)))
    _dump(path, content, rng)
    return f"set in {path.name}"


def write_no_json(folder: Path, rng: random.Random) -> str:
    """Make a JSON file invalid, or nested too deeply for a parser."""
    path = _pick(folder, rng)
    if path is None:
        return "nothing"
    depth = rng.choice((500, 5000, 200_000))
    contents = (
        *(
            b"",
            b"{",
            b"null",
            b"[]",
            b"3",
            b'"x"',
            b"\xff\xfe",
            b"\xef\xbb\xbf{}",
            b"<html>404</html>",
            b"{}",
        ),
        *(
            b"[" * depth,
            b'{"a":' * depth + b"1" + b"}" * depth,
            b"[" * depth + b"]" * depth,
            b"NaN",
            b"\0" * 999,
        ),
        *(b'{"a": ' + b"9" * 10_000 + b"}", _LFS.encode(), b'{"model_type": "llama"} x', b"1e999"),
    )
    path.write_bytes(rng.choice(contents))
    return f"no JSON in {path.name}"


def break_bytes(folder: Path, rng: random.Random) -> str:
    """Remove or change bytes of a file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    path, other = rng.choice(files), rng.choice(files).read_bytes()[:100_000]
    data = bytearray(path.read_bytes())
    way = rng.choice(WAYS)
    way(data, other, rng)
    path.write_bytes(data)
    return f"{way.__name__} in {path.name}"


def set_template(folder: Path, rng: random.Random) -> str:
    """Set another chat template, in one of the places where it may be."""
    template = rng.choice(TEMPLATES)
    number = TEMPLATES.index(template)
    path = folder / "tokenizer_config.json"
    content = _load(path)
    if rng.random() < 0.5 and isinstance(content, dict):
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        named = [{"name": "default", "template": template}]
        content["chat_template"] = template if rng.random() < 0.8 else named
        path.write_text(json.dumps(content), "utf-8")
        return f"template {number} in {path.name}"
    (folder / "chat_template.jinja").write_text(template, "utf-8", "replace")
    return f"template {number}"


def lie_in_header(folder: Path, rng: random.Random) -> str:
    """Falsify types, shapes, offsets or lengths in the header of the weights, or its JSON."""
    path = folder / _WEIGHTS
    shards = sorted(folder.glob("model*.safetensors"))
    if not path.is_file() and shards:
        path = rng.choice(shards)
    if not path.is_file():
        return "nothing"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    head, rest = data[8 : 8 + length], data[8 + length :]
    odd_lengths = (0, 1, length - 1, length + 1, 10**8, 2**31, 2**62, 2**64 - 1)
    if rng.random() < 0.3:
        path.write_bytes(rng.choice(odd_lengths).to_bytes(8, "little") + head + rest)
        return f"length in {path.name}"
    content = json.loads(head) if head[:1] == b"{" else {}
    for _ in range(rng.choice((1, 1, 3))):
        name = rng.choice([*content, "new"])
        entry = dict(content.get(name) or {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
        odd = (0, 1, -1, 2**31, 2**62, 2**64, 1.5, "x", None)
        changes: tuple[tuple[str, Any], ...] = (
            ("dtype", rng.choice(("F64", "I8", "BF16", "F8_E4M3", "X", 3, None))),
            ("shape", [rng.choice(odd) for _ in range(rng.choice((0, 1, 2, 9)))]),
            (
                "data_offsets",
                [rng.choice((*odd, len(rest))) for _ in range(rng.choice((2, 2, 1, 3)))],
            ),
            ("shape", entry.get("shape", [])[::-1]),
        )
        key, value = rng.choice(changes)
        content[name] = rng.choice(({**entry, key: value},) * 4 + (None, [], "x"))
    if rng.random() < 0.3:
        content.pop(rng.choice(list(content)))
    new = json.dumps(content).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + rest)
    return f"header of {path.name}"


def replace_file(folder: Path, rng: random.Random) -> str:
    """Remove a file, or replace it by a pipe, a folder, a link, or a Git LFS pointer."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    path = rng.choice([*files, *(path for path in files if path.suffix == ".safetensors")])
    path.unlink()
    how = rng.choice(
        ("missing", "a pipe", "a folder", "LFS", "empty", "dangling", "/dev/zero", "itself", "cut")
    )
    match how:
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case "LFS":
            path.write_text(_LFS)
        case "empty":
            path.write_bytes(b"")
        case "dangling" | "/dev/zero" | "itself":
            path.symlink_to({"dangling": "nowhere", "itself": path.name}.get(how, how))
        case "cut":
            path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    return f"{path.name} {how}"


def add_file(folder: Path, rng: random.Random) -> str:
    """Add a file that readers look for and the folder lacks; some prefer it to their own."""
    names = (
        "tokenizer.model",
        "added_tokens.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "adapter_config.json",
        "modeling_x.py",
        "tekken.json",
        "pytorch_model.bin",
        "chat_template.json",
    )
    path = folder / rng.choice(names)
    if not path.exists():
        path.write_bytes(
            rng.choice((b"{}", b"[]", b"null", b"", b"\xff" * 100, b'{"a": [1]}', b"[" * 99_999))
        )
    return f"added {path.name}"


def _load(path: Path | None) -> Any:
    try:
        return None if path is None else json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _dump(path: Path, content: Any, rng: random.Random) -> None:
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5)
    path.write_text(text.replace(f'"{HUGE}"', "9" * 5000), "utf-8", "surrogatepass")


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, at most 20 of a long one."""
    if not isinstance(content, dict | list):  # an earlier change left a bare number or word
        return
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    for key in keys[:20]:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _change(container: Any, key: Any, rng: random.Random) -> None:
    if rng.random() < 0.2:
        del container[key]
    elif rng.random() < 0.1 and isinstance(container, dict):
        container[str(rng.choice(VALUES))[:50]] = container[key]
    else:
        container[key] = copy.deepcopy(rng.choice(VALUES))


_WAYS: tuple[Callable[[Path, random.Random], str], ...] = (
    change_json,
    change_json,
    change_json,
    set_known,
    set_known,
    set_known,
    write_no_json,
    break_bytes,
    set_template,
    set_template,
    lie_in_header,
    replace_file,
    add_file,
)
