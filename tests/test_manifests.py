"""Tests the files for Kubernetes and Slurm."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import time
from typing import Any

import kubernetes_validate
import pytest
import yaml

from commandline import program as program_lib
from training import distributed, train_dir

ROOT = pathlib.Path(__file__).resolve().parent.parent
SLURM = ROOT / "docs/slurm.sh"
MANIFEST = ROOT / "docs/kubernetes.yaml"
DOCUMENTS = list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))
TEXT = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")

LOST_WORKER = program_lib.EXIT_CODES[distributed.WorkerLostError]
LOCKED = program_lib.EXIT_CODES[train_dir.LockedError]
STOPPED = 128 + signal.SIGTERM
HOPELESS = set(program_lib.EXIT_CODES.values()) - {LOST_WORKER, LOCKED}


def document(kind: str) -> dict[str, Any]:
    """The one document of that kind."""
    (found,) = (d for d in DOCUMENTS if d["kind"] == kind)
    return found


JOB = document("Job")["spec"]
POD = JOB["template"]["spec"]
LABELS = JOB["template"]["metadata"]["labels"]
(CONTAINER,) = POD["containers"]
ENV = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("given", DOCUMENTS, ids=lambda d: d["kind"])
def test_documents_follow_the_published_schema(
    given: dict[str, Any], version: str
) -> None:
    assert kubernetes_validate.validate(given, version, strict=True) == version


def test_the_schema_would_notice() -> None:
    wrong = {**document("Job"), "spec": {**JOB, "podFailurPolicy": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_every_index_is_a_worker() -> None:
    assert JOB["completionMode"] == "Indexed"
    assert JOB["completions"] == JOB["parallelism"] > 1
    assert ENV["NUM_WORKERS"] == str(JOB["completions"])


def test_the_service_names_the_pods_before_they_are_ready() -> None:
    service = document("Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= LABELS.items()
    assert POD["subdomain"] == service["metadata"]["name"]


def test_only_workers_reach_workers() -> None:
    policy = document("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= LABELS.items()
    (rule,) = policy["ingress"]
    (source,) = rule["from"]
    assert source["podSelector"] == policy["podSelector"]
    assert "ports" not in rule  # NCCL takes any


def test_the_volume_is_shared_and_mounted() -> None:
    claim = document("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {m["name"]: m["mountPath"] for m in CONTAINER["volumeMounts"]}
    assert set(volumes) == set(mounts)
    name = volumes["shared"]["persistentVolumeClaim"]["claimName"]
    assert name == claim["metadata"]["name"]
    for path in re.findall(r"/\S+", " ".join(CONTAINER["args"])):
        assert path.startswith(mounts["shared"] + "/")


def action_of(code: int) -> str:
    """What the job does when a container exits so, as Kubernetes decides."""
    for rule in JOB["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and code in codes["values"]:
            return str(rule["action"])
    return "Count"


def test_exit_codes_start_again_what_may_mend() -> None:
    assert POD["restartPolicy"] == "Never"  # podFailurePolicy needs it
    assert all(action_of(code) == "FailJob" for code in HOPELESS)
    for code in (LOST_WORKER, LOCKED, STOPPED):
        assert action_of(code) == "Ignore"
    assert action_of(128 + signal.SIGKILL) == "Count"


def test_rules_are_those_that_the_api_accepts() -> None:
    for rule in JOB["podFailurePolicy"]["rules"]:
        if codes := rule.get("onExitCodes"):
            assert codes["containerName"] == CONTAINER["name"]
            assert codes["operator"] == "In"
            values = codes["values"]
            assert values == sorted(set(values)) and 0 not in values
        else:
            (condition,) = rule["onPodConditions"]
            assert condition == {"type": "DisruptionTarget", "status": "True"}


def test_the_job_is_done_when_its_chief_is() -> None:
    assert JOB["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}


def test_kubernetes_leaves_the_shell_its_dollars() -> None:
    """It replaces $(NAME) of a variable it knows, and $$, before the shell."""
    known = {*ENV, "JOB_COMPLETION_INDEX"}
    script = " ".join([*CONTAINER["command"], *CONTAINER["args"]])
    assert not known & set(re.findall(r"\$\((\w+)\)", script))
    assert "$$" not in script


def make(path: pathlib.Path, script: str) -> None:
    """Writes a program that stands in for another."""
    path.write_text(script, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


# Says what it was given; then ends as instructed, or waits for SIGTERM.
PYTHON = """#!/bin/bash
index=${JOB_COMPLETION_INDEX:-$SLURM_NODEID}
echo "$TF_CONFIG" >"$SAYS/config-$index"
printf '%s\\n' "$@" >"$SAYS/arguments-$index"
eval code=\\$CODE_$index
[ "$code" = wait ] || exit "${code:-0}"
trap 'sleep 0.3; touch "$SAYS/saved-$index"; exit 143' TERM
touch "$SAYS/waits-$index"
for _ in {1..600}; do sleep 0.05; done
"""
# Two tasks, each in a session of its own; the highest code, as the real one.
SRUN = """#!/bin/bash
trap 'touch "$SAYS/srun-was-killed"' TERM
while [ "$1" != bash ]; do echo "$1" >>"$SAYS/options"; shift; done
for node in 0 1; do
  SLURM_NODEID=$node setsid "$@" &
  echo $! >>"$SAYS/tasks"
done
highest=0
for task in $(cat "$SAYS/tasks"); do
  wait $task
  code=$?
  [ $code -gt $highest ] && highest=$code
done
exit $highest
"""
# All processes of all tasks, not the batch script and not srun.
SCANCEL = """#!/bin/bash
[ "$*" = "--signal=TERM 4711" ] || exit 1
while read -r task; do kill -TERM -- "-$task"; done <"$SAYS/tasks"
"""
SCONTROL = """#!/bin/bash
case $1 in
  show) [ "$*" = "show hostnames node[7-8]" ] && printf 'node7\\nnode8\\n' ;;
  requeue) echo "$2" >>"$SAYS/requeued" ;;
esac
"""


@dataclasses.dataclass
class Cluster:
    """Programs that stand in for a scheduler's, and what they noted."""

    path: pathlib.Path

    def start(
        self, *command: str, **variables: object
    ) -> subprocess.Popen[bytes]:
        """Starts a command on it."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={
                "PATH": f"{self.path / 'bin'}:{os.environ['PATH']}",
                "SAYS": str(self.path),
                **{name: str(value) for name, value in variables.items()},
            },
        )

    def sbatch(
        self, first: object, second: object, restarts: int = 0
    ) -> subprocess.Popen[bytes]:
        """Starts the job; tells how its two workers will end."""
        return self.start(
            str(SLURM),
            "a train dir",
            "--data_dir=d",
            SLURM_JOB_ID=4711,
            SLURM_JOB_NODELIST="node[7-8]",
            SLURM_RESTART_COUNT=restarts,
            SLURM_CPUS_PER_TASK=32,
            CODE_0=first,
            CODE_1=second,
        )

    def says(self, name: str) -> str:
        """What was noted; nothing if nothing was."""
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Cluster:
    (tmp_path / "bin").mkdir()
    programs = {
        "python": PYTHON,
        "srun": SRUN,
        "scancel": SCANCEL,
        "scontrol": SCONTROL,
    }
    for name, script in programs.items():
        make(tmp_path / "bin" / name, script)
    return Cluster(tmp_path)


def config(index: int, *workers: str) -> dict[str, Any]:
    """TF_CONFIG, as TensorFlow wants it."""
    return {
        "cluster": {"worker": list(workers)},
        "task": {"type": "worker", "index": index},
    }


def test_kubernetes_gives_each_worker_the_list_of_all(cluster: Cluster) -> None:
    command = [*CONTAINER["command"], *CONTAINER["args"]]
    process = cluster.start(
        *command, JOB_COMPLETION_INDEX=1, CODE_1=LOST_WORKER, **ENV
    )
    assert process.wait(30) == LOST_WORKER
    name, subdomain = document("Job")["metadata"]["name"], POD["subdomain"]
    port = CONTAINER["ports"][0]["containerPort"]
    hosts = [
        f"{name}-{index}.{subdomain}:{port}"
        for index in range(JOB["completions"])
    ]
    assert json.loads(cluster.says("config-1")) == config(1, *hosts)
    program, mode, *rest = cluster.says("arguments-1").splitlines()
    assert (program, mode, rest) == (
        "train_wavegan.py",
        "train",
        CONTAINER["args"],
    )


def test_kubernetes_signals_the_program_itself(cluster: Cluster) -> None:
    command = [*CONTAINER["command"], *CONTAINER["args"]]
    process = cluster.start(
        *command, JOB_COMPLETION_INDEX=0, CODE_0="wait", **ENV
    )
    wait_for(cluster, "waits-0")
    process.terminate()
    assert process.wait(30) == STOPPED


def test_slurm_gives_each_worker_the_list_of_all(cluster: Cluster) -> None:
    assert cluster.sbatch(0, 0).wait(30) == 0
    for index in (0, 1):
        said = json.loads(cluster.says(f"config-{index}"))
        assert said == config(index, "node7:24711", "node8:24711")
        assert cluster.says(f"arguments-{index}").splitlines() == [
            "train_wavegan.py",
            "train",
            "a train dir",
            "--data_dir=d",
        ]
    assert "--kill-on-bad-exit=0" in cluster.says("options")
    assert "--cpus-per-task=32" in cluster.says("options")


@pytest.mark.parametrize(
    ("first", "second", "code", "again"),
    [
        (0, 0, 0, False),
        (LOST_WORKER, 128 + signal.SIGKILL, 128 + signal.SIGKILL, True),
        (LOST_WORKER, LOST_WORKER, LOST_WORKER, True),
        (LOCKED, LOST_WORKER, LOCKED, True),
        (STOPPED, STOPPED, STOPPED, False),
        *((code, LOST_WORKER, code, False) for code in sorted(HOPELESS)),
        *((LOST_WORKER, code, code, False) for code in sorted(HOPELESS)),
    ],
)
def test_slurm_starts_again_what_may_mend(
    cluster: Cluster, first: int, second: int, code: int, again: bool
) -> None:
    assert cluster.sbatch(first, second).wait(30) == code
    assert cluster.says("requeued") == "4711\n" * again


def test_slurm_gives_up_one_day(cluster: Cluster) -> None:
    process = cluster.sbatch(LOST_WORKER, LOST_WORKER, restarts=100)
    assert process.wait(30) == LOST_WORKER
    assert not cluster.says("requeued")


def wait_for(cluster: Cluster, *names: str) -> None:
    """Waits until something is there."""
    deadline = time.monotonic() + 30
    while not all((cluster.path / name).exists() for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_slurm_saves_before_time_is_over_and_goes_on(cluster: Cluster) -> None:
    process = cluster.sbatch("wait", "wait")
    wait_for(cluster, "waits-0", "waits-1")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == STOPPED
    assert (cluster.path / "saved-0").exists()
    assert (cluster.path / "saved-1").exists()
    assert cluster.says("requeued") == "4711\n"
    assert not (cluster.path / "srun-was-killed").exists()


def test_whoever_stops_a_slurm_job_stops_it(cluster: Cluster) -> None:
    process = cluster.sbatch("wait", "wait")
    wait_for(cluster, "waits-0", "waits-1")
    scancel = ("scancel", "--signal=TERM", "4711")
    assert cluster.start(*scancel).wait(30) == 0
    assert process.wait(30) == STOPPED
    assert (cluster.path / "saved-0").exists()
    assert (cluster.path / "saved-1").exists()
    assert not cluster.says("requeued")


def test_files_that_the_text_names_are_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / name).exists(), name
