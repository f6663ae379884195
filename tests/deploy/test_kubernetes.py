"""deploy/kubernetes/ is what Kubernetes takes, fits together, and confines the pods."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from session_service.config import load_config, missing_to_serve
from tests.support import require_tool
from tests.support.house_rules import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
# The oldest with everything that is used, and the newest that the validator knows.
VERSIONS = ("1.30", "1.37")
LABELS = {"app.kubernetes.io/name": "session-service"}
# supervisor.py: how long after its grace a worker is killed.
KILL_AFTER = 10


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kubectl apply --kustomize` would send."""
    file = tmp_path_factory.mktemp("kubernetes") / "rendered.yaml"
    command = [str(require_tool("kustomize")), "build", str(FOLDER)]
    file.write_bytes(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return file


@pytest.fixture(scope="module")
def objects(rendered: Path) -> dict[str, dict[str, Any]]:
    """The same by kind; there is one of each."""
    found = list(yaml.safe_load_all(rendered.read_text(encoding="utf-8")))
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


@pytest.fixture
def pod(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The pods' specification."""
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Their only container."""
    [only] = pod["containers"]
    assert isinstance(only, dict)
    return only


def validate(file: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Hold a file against the schemas of that version of Kubernetes; unknown fields are errors."""
    command = [str(require_tool("kubernetes-validate")), "--strict", "-k", version, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(rendered: Path, version: str) -> None:
    """Every field exists and has the right type, nothing required is missing."""
    done = validate(rendered, version)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelled_field_is_noticed(rendered: Path, tmp_path: Path) -> None:
    """The check above is not blind."""
    file = tmp_path / "wrong.yaml"
    file.write_text(
        rendered.read_text(encoding="utf-8").replace("readOnlyRootFilesystem", "readonlyRootFilesystem")
    )

    assert validate(file, VERSIONS[-1]).returncode != 0


def test_every_file_is_used() -> None:
    """No manifest lies in the folder without being applied."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())

    assert {*kustomization["resources"], "kustomization.yaml", "config.yaml"} == {
        path.name for path in FOLDER.iterdir()
    }


def test_no_secret_is_in_it(objects: dict[str, dict[str, Any]], container: dict[str, Any]) -> None:
    """The Secret is named and not there; no variable has a value that is one."""
    assert "Secret" not in objects
    assert [each["name"] for each in container["env"] if "value" in each] == ["SESSION_CONFIG"]


def test_the_configuration_is_good(container: dict[str, Any], tmp_path: Path) -> None:
    """The service takes the ConfigMap with what the Secret adds, finds it where it looks, and could serve."""
    variables = {each["name"]: each.get("value", "a secret of the test") for each in container["env"]}
    mounted = Path(variables.pop("SESSION_CONFIG"))
    config = load_config(FOLDER / "config.yaml", variables)

    assert missing_to_serve(config) == ()
    folders = {each["mountPath"] for each in container["volumeMounts"]}
    assert {str(mounted.parent), str(Path(str(config.tokens.key_file)).parent), "/tmp"} == folders  # noqa: S108


def test_ports_agree(objects: dict[str, dict[str, Any]], container: dict[str, Any]) -> None:
    """Configuration, container, probes, Service and NetworkPolicy mean the same ports, and the same Redis."""
    config = load_config(FOLDER / "config.yaml", {})
    assert config.metrics.listen is not None
    ports = {"grpc": int(config.server.listen.rpartition(":")[2]), "metrics": config.metrics.listen.port}
    policy = objects["NetworkPolicy"]["spec"]

    assert {each["name"]: each["containerPort"] for each in container["ports"]} == ports
    assert {each["name"]: each["port"] for each in objects["Service"]["spec"]["ports"]} == ports
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == list(ports.values())
    assert policy["egress"][0]["ports"] == [{"protocol": "TCP", "port": config.redis.port}]


def test_everything_means_these_pods(objects: dict[str, dict[str, Any]]) -> None:
    """Each selector selects the Deployment's pods."""
    specs = {kind: each.get("spec", {}) for kind, each in objects.items()}

    assert specs["Deployment"]["template"]["metadata"]["labels"] == LABELS
    assert specs["Service"]["selector"] == LABELS
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert specs[kind]["selector"]["matchLabels"] == LABELS
    assert specs["NetworkPolicy"]["podSelector"]["matchLabels"] == LABELS
    target = specs["HorizontalPodAutoscaler"]["scaleTargetRef"]
    assert target["name"] == objects["Deployment"]["metadata"]["name"]


def test_nothing_is_granted(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """No root, no capability, no way to more, no writable root, no token of Kubernetes."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False


def test_only_readiness_follows_redis(container: dict[str, Any]) -> None:
    """An outage of Redis takes traffic from the pods and restarts none of them."""
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "grpc"}
    for name in ("livenessProbe", "startupProbe"):
        assert container[name]["tcpSocket"] == {"port": 50051}


def test_a_pod_has_the_time_to_drain(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Kubernetes kills later than the service itself would."""
    server = load_config(FOLDER / "config.yaml", {}).server
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["terminationGracePeriodSeconds"] > (
        before + server.drain_delay + server.shutdown_grace + KILL_AFTER
    )


def test_hashing_fits_the_memory(container: dict[str, Any]) -> None:
    """The number of threads is given: by default it is that of the node's cores, at 19 MiB each."""
    assert 1 <= load_config(FOLDER / "config.yaml", {}).passwords.hashing_threads <= 4
    assert set(container["resources"]["limits"]) == {"memory"}


def test_a_drained_node_leaves_some(objects: dict[str, dict[str, Any]]) -> None:
    """The budget can be kept: there is always one pod more than it demands."""
    least = objects["HorizontalPodAutoscaler"]["spec"]["minReplicas"]

    assert 0 < objects["PodDisruptionBudget"]["spec"]["minAvailable"] < least
    assert "replicas" not in objects["Deployment"]["spec"]
