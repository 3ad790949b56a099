"""No text takes long or much: neither fastkv nor its reader needs 1 GiB for one."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")

READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from fastkv_cli.documents import load_document
from fastkv_cli.errors import FastKVError
try:
    print("read", len(load_document(sys.argv[1]).text))
except FastKVError as error:
    print(error)
"""


RANDOM = random.Random(1)
CHINESE = "快速的棕色狐狸跳过了懒狗。\n"


@pytest.mark.parametrize(
    ("piece", "times", "said"),
    [
        (RANDOM.randbytes(2**20), 76, "is not text"),
        (bytes(RANDOM.choices(range(128, 256), k=2**20)), 76, "is not text"),
        (b"x", 20_000_000, "read 20000000"),
        (b"x", 80_000_000, "holds 80,000,000 characters; at most 20,000,000 are read"),
        (b"a\r", 3_000_000, "read 5999999"),
        ("\u0301\u0316".encode(), 2_000_000, "read 30"),
        (CHINESE.encode("gb18030"), 400_000, "read 5599999"),
        ("क\u200d".encode(), 2_000_000, "read 4000000"),
        (b"<!---->", 100_000, "read 700000"),
    ],
    ids=[
        "junk",
        "high bytes",
        "one line",
        "too long",
        "lines",
        "marks",
        "legacy",
        "joiners",
        "comments",
    ],
)
def test_texts_that_are_made_to_exhaust(
    piece: bytes, times: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(piece * times)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    path.unlink()
    assert said in done.stdout
