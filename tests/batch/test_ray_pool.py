"""`fastkv batch --ray` on a real cluster on this machine, of a head and nodes with a CPU each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batches import (
    TASK,
    finish_batch,
    results,
    settings_for,
    start_batch,
    wait_for,
    without_times,
    write_texts,
)
from processes import Capture

from fastkv_cli.batch import ray_pool
from fastkv_cli.batch.pool import MAX_DEATHS, Event, Lost, Refused
from fastkv_cli.batch.ray_pool import RayPool, RayWorker
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


HOLDER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
@ray.remote(num_cpus=1)
class Holder: pass
holder = Holder.remote()
ray.get(holder.__ray_ready__.remote())
print("held", flush=True)
sys.stdin.read()
"""


def test_a_busy_cluster_and_actors_that_die_while_they_load(
    cluster: Any, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is said, and waited for; the second ends the run, and not at the first death."""

    class Dying(RayWorker):  # local, so that Ray sends it whole
        def load(self, started: object) -> dict[str, Any]:
            os._exit(1)

    monkeypatch.setattr(ray_pool, "RayWorker", Dying)
    monkeypatch.setattr(ray_pool, "_ROOM_S", 1.0)
    notes, events = list[str](), list[Event]()
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLDER, cluster.address]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert any(line == "held\n" for line in holder.stdout)
        pool = RayPool(
            settings_for(options),
            cluster.address,
            num_workers=1,
            num_cpus=1,
            num_gpus=0,
            ships=False,
            note=notes.append,
        )
        with closing(pool):
            while not notes:
                assert pool.wait(0.5) is None
            holder.communicate()  # ends it, and gives its CPU back
            while not events or isinstance(events[-1], Lost):
                events += filter(None, [pool.wait(1)])
    assert notes == [
        "waiting for room in the cluster: a worker takes 1 CPUs and 0 GPUs: see ray status"
    ]
    assert [type(event) for event in events] == [Lost] * MAX_DEATHS + [Refused]
    assert all("--document-timeout" in event.hint for event in events if isinstance(event, Lost))


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
