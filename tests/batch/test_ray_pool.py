"""`fastkv batch --ray` on a real cluster on this machine, of a head and nodes with a CPU each."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import (
    TASK,
    finish_batch,
    results,
    start_batch,
    wait_for,
    without_times,
    write_texts,
)
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

pytest.importorskip("ray")
pytestmark = pytest.mark.ray
OUT = Path("out")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    found.add_node(num_cpus=1)
    try:
        yield found
    finally:
        found.shutdown()


def actors() -> list[int]:
    """The processes of actors, by their titles."""
    found = subprocess.run(["pgrep", "-f", "ray::RayWorker"], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def test_an_actor_and_a_node_are_killed(cluster: Any, options: list[str]) -> None:
    """The results are those of a local run, and none is made twice."""
    texts = {path.name for path in write_texts(Path("in"), 30)}
    node = cluster.add_node(num_cpus=1)
    on_ray = ["--ray", cluster.address]
    child = start_batch([*TASK, *options], "in", *on_ray)
    wait_for(OUT, 3)
    os.kill(actors()[0], signal.SIGKILL)
    wait_for(OUT, 8)
    cluster.remove_node(node, allow_graceful=False)
    code, names, stderr = finish_batch(child)
    assert (code, stderr.splitlines()[-1]) == (0, "30 documents done: out")
    assert sorted(names) == sorted(texts)

    local = ["batch", "in", "--out", "local", *TASK, *options, "-q", "-j", "1"]
    assert run(local) == 0
    here, there = results(Path("local")), results(OUT)
    assert set(there) == texts
    assert [without_times(there[name]) for name in texts] == [
        without_times(here[name]) for name in texts
    ]


def test_the_driver_is_killed_and_started_again(cluster: Any, options: list[str]) -> None:
    """The second time the documents are sent as bytes."""
    texts = {path.name for path in write_texts(Path("in"), 20)}
    on_ray = ["--ray", cluster.address]
    child = start_batch([*TASK, *options], "in", *on_ray)
    wait_for(OUT, 5)
    child.kill()
    _, first, _ = finish_batch(child)
    code, second, _ = finish_batch(start_batch([*TASK, *options], "in", *on_ray, "--ship"))
    assert code == 0
    assert set(results(OUT)) == texts
    assert len(second) == len(set(second))
    assert set(first) & set(second) == set()


def test_no_cluster_and_no_room(cluster: Any, options: list[str], capfd: Capture) -> None:
    write_texts(Path("in"), 1)
    command = ["batch", "in", "--out", "out", *TASK, *options]
    for words, arguments in (
        ("are for Ray: give --ray auto", ["--ship"]),
        ("out of range", ["--ray", "auto", "--num-cpus", "-1"]),
        ("no room for a worker of 64 CPUs", ["--ray", cluster.address, "--num-cpus", "64"]),
        ("there is no Ray cluster at nowhere", ["--ray", "nowhere"]),
    ):
        assert run([*command, *arguments]) == ExitCode.USAGE, words
        stderr = capfd.readouterr().err
        assert words in stderr
        assert stderr.count("\n") == 1, stderr
