"""The Hugging Face hub, by its own client, against a small server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import conftest
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"

MXFP4 = b'{"model_type": "llama", "quantization_config": {"quant_method": "mxfp4"}}'
GATED = (403, "GatedRepo")

RESOLVE = """
import json, sys
from fastkv_cli.errors import ModelError
from fastkv_cli.models import resolve_model

answers = {}
for name in sys.argv[2:]:
    told = []
    try:
        files = resolve_model(name, offline=sys.argv[1] == "offline", on_progress=told.append)
        answers[name] = [str(files.path), files.revision, files.kind, max((p.done for p in told), default=0)]
    except ModelError as error:
        answers[name] = str(error)
print(json.dumps(answers))
"""


class Hub(BaseHTTPRequestHandler):
    """Repositories by name: files by path, or the error that the hub answers with."""

    repositories: ClassVar[dict[str, dict[str, bytes] | tuple[int, str]]] = {}
    served: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        is_api = self.path.startswith("/api/models")
        path = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
        repository = self.repositories.get("/".join(path[:2]), (401, "RepoNotFound"))
        about = json.dumps({"id": "/".join(path[:2]), "sha": COMMIT}).encode()
        if repository == GATED and is_api:
            self.reply(200, body=about)
        elif isinstance(repository, tuple):
            self.reply(repository[0], {"X-Error-Code": repository[1]})
        elif len(path) > 3 and path[3] not in {"main", COMMIT}:
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        elif is_api and "tree" in path:
            self.reply(200, body=json.dumps([entry(*file) for file in repository.items()]).encode())
        elif is_api:
            self.reply(200, body=about)
        elif "/".join(path[4:]) not in repository:
            self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            name = "/".join(path[4:])
            body = repository[name]
            if self.command == "GET":
                self.served.append(f"{'/'.join(path[:2])}/{name}")
            etag = f'"{hashlib.sha1(body).hexdigest()}"'
            self.reply(200, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)

    def reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


def entry(path: str, body: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}


@pytest.fixture(scope="module")
def hub(tiny_models: dict[str, Path]) -> Iterator[str]:
    """The address of a hub with a good model, and one for each way to go wrong."""
    good = {file.name: file.read_bytes() for file in tiny_models["llama"].iterdir()}
    extra = (
        "pytorch_model.bin",
        "consolidated.safetensors",
        "onnx/model.onnx",
        "a.gguf",
        "README.md",
    )
    Hub.repositories = {
        "org/good": good | dict.fromkeys(extra, b"not wanted"),
        "org/gemma": good | {"config.json": b'{"model_type": "gemma3"}'},
        "org/oss": good | {"config.json": MXFP4},
        "org/bin": {"config.json": good["config.json"], "pytorch_model.bin": b"weights"},
        "org/bare": {"README.md": b"nothing here"},
        "org/gated": GATED,
        "org/down": (500, ""),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def resolve(endpoint: str, home: Path, how: str, *names: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", RESOLVE, how, *names],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env=conftest.environment(
            HF_ENDPOINT=endpoint, HF_HOME=home, HF_HUB_DISABLE_XET=1, HF_HUB_DISABLE_TELEMETRY=1
        ),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    answers: dict[str, Any] = json.loads(ended.stdout)
    return answers


def test_a_snapshot_lands_in_the_standard_cache(hub: str, tmp_path: Path) -> None:
    Hub.served.clear()
    names = ("org/good", "org/good@main", f"org/good@{COMMIT}")
    answers = resolve(hub, tmp_path, "online", *names)
    folder = tmp_path / "hub" / "models--org--good" / "snapshots" / COMMIT
    size = (folder / "model.safetensors").stat().st_size
    assert [answer[:3] for answer in answers.values()] == [[str(folder), COMMIT, "hub"]] * 3
    assert answers["org/good"][3] >= size
    assert sorted(file.name for file in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert len(Hub.served) == 6
    assert resolve(hub, tmp_path, "offline", "org/good")["org/good"][0] == str(folder)


def test_each_failure_has_a_message_of_its_own(hub: str, tmp_path: Path) -> None:
    Hub.served.clear()
    expected = {
        "org/none": "there is no model org/none on Hugging Face, or it is private",
        "org/gated": "org/gated is gated: accept its terms at",
        "org/good@v9": "there is no revision v9 of org/good",
        "org/bare": "org/bare has no config.json",
        "org/gemma": "org/gemma is of type 'gemma3', which is not supported",
        "org/oss": "org/oss holds weights in MXFP4, which are only read of gpt-oss",
        "org/bin": "the weights of org/bin are incomplete: model.safetensors is missing",
        "org/down": "Hugging Face does not serve org/down (Server error",
        "org/a--b": "'org/a--b' is not a Hugging Face id",
    }
    answers = resolve(hub, tmp_path, "online", *expected)
    wrong = {name: answers[name] for name, start in expected.items() if start not in answers[name]}
    assert not wrong
    assert all("\n" not in answer for answer in answers.values())
    # Another family, or format, costs the config, and no weights.
    for name in ("org/gemma", "org/oss"):
        assert [file for file in Hub.served if name in file] == [f"{name}/config.json"]


def test_offline_and_without_a_network(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    answer = resolve(nowhere, tmp_path, "offline", "org/good")["org/good"]
    assert answer.startswith(
        "org/good is not in the Hugging Face cache, and the network may not be used"
    )
    assert "run once without --offline" in answer
    answer = resolve(nowhere, tmp_path, "online", "org/good")["org/good"]
    assert answer.startswith("cannot reach Hugging Face for org/good, which is not in the cache")


def test_an_interrupted_download_is_told_offline_and_finished_online(
    hub: str, tmp_path: Path
) -> None:
    folder = Path(resolve(hub, tmp_path, "online", "org/good")["org/good"][0])
    (folder / "model.safetensors").unlink()
    answer = resolve(hub, tmp_path, "offline", "org/good")["org/good"]
    assert answer.startswith("the weights of org/good are incomplete")
    assert resolve(hub, tmp_path, "online", "org/good")["org/good"][0] == str(folder)
    assert (folder / "model.safetensors").is_file()
