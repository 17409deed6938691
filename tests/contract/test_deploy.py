"""What operators deploy with: rules that promtool takes, manifests that fit together, settings that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.helpers.deployed import DEPLOY, ROOT, alerts

BASE = DEPLOY / "kubernetes" / "base"
OVERLAYS = sorted((DEPLOY / "kubernetes" / "overlays").iterdir())
# The oldest that is still kept up, and the newest whose schemas are at hand.
KUBERNETES = ("1.33", kubernetes_validate.latest_version())


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from (each for each in yaml.safe_load_all(path.read_text()) if each)


def base_objects() -> list[dict[str, Any]]:
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [each for name in names for each in documents(BASE / name)]


def one(kind: str, name: str = "") -> dict[str, Any]:
    (found,) = [each for each in base_objects() if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    return found


# Alerts, runbooks, dashboard.


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "prometheus/alerts.yaml"), ("test", "rules", "prometheus/alerts_test.yaml"),
        ("check", "config", "--syntax-only", "prometheus/prometheus.yaml"),
        ("check", "config", "--syntax-only", "compose/prometheus.yaml"),
    ],
    ids=["rules", "tests of rules", "config", "config of the desk"],
)  # fmt: skip
def test_promtool_takes_it(words: tuple[str, ...]) -> None:
    command = ["promtool", *words[:-1], str(DEPLOY / words[-1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus/prometheus.yaml", "compose/prometheus.yaml"])
def test_a_scrape_is_over_tls_as_whatever_is_reached_from_another_host(name: str) -> None:
    (job,) = yaml.safe_load((DEPLOY / name).read_text())["scrape_configs"]
    assert job["scheme"] == "https"
    assert job["tls_config"] == {"ca_file": "ca.crt", "server_name": one("ConfigMap")["data"]["ESS_TLS_SERVER_NAME"]}
    (annotations,) = [one("StatefulSet")["spec"]["template"]["metadata"]["annotations"]]
    assert annotations["prometheus.io/scheme"] == "https"


def test_each_alert_is_tested_to_fire_and_to_be_silent() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yaml").read_text())["tests"]
    fires = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")}
    silent = {each["alertname"] for test in tests for each in test["alert_rule_test"] if not each.get("exp_alerts")}
    assert fires == silent == {rule["alert"] for rule in alerts()}


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        page = ROOT / rule["annotations"]["runbook_url"]
        assert page.read_text().startswith(f"# {rule['alert']}\n")
        assert f"[{rule['alert']}]({page.name})" in (page.parent / "README.md").read_text()
        assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
def test_every_panel_asks_what_prometheus_understands(tmp_path: Path) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    rules = [
        {"record": f"panel:{panel['id']}:{target['refId'].lower()}", "expr": expression(target["expr"])}
        for panel in dashboard["panels"] for target in panel["targets"]
    ]  # fmt: skip
    assert len(rules) >= 20
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expression(text: str) -> str:
    return text.replace("$__rate_interval", "1m").replace("$instance", ".*")


# Kubernetes.


def test_every_file_of_the_base_is_used() -> None:
    used = set(yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"])
    assert used == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_pods_run_as_nobody_and_write_where_they_may(kind: str) -> None:
    pod = one(kind)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {each["name"] for each in pod["volumes"]}
    claims = {each["metadata"]["name"] for each in one(kind)["spec"].get("volumeClaimTemplates", ())}
    assert {each["name"] for each in container["volumeMounts"]} == volumes | claims
    assert pod["automountServiceAccountToken"] is False


def test_the_journal_stays_on_a_volume_of_the_pod() -> None:
    stateful = one("StatefulSet")
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/ess"
    assert stateful["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    docker = (ROOT / "Dockerfile").read_text()
    assert "ESS_DATA_DIR=/var/lib/ess/data" in docker
    assert "USER 10001:10001" in docker


def test_everything_selects_the_pods_and_ports_that_are_there() -> None:
    template = one("StatefulSet")["spec"]["template"]
    labels = template["metadata"]["labels"]
    ports = {each["name"]: each["containerPort"] for each in template["spec"]["containers"][0]["ports"]}
    assert one("StatefulSet")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    policy = one("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == set(ports.values())
    for service in [each for each in base_objects() if each["kind"] == "Service"]:
        assert service["spec"]["selector"].items() <= labels.items()
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= set(ports)
    headless = one("Service", "ess-hosts")
    assert headless["spec"]["clusterIP"] == "None"
    assert one("StatefulSet")["spec"]["serviceName"] == "ess-hosts"
    assert ports == {"grpc": 50051, "https": 8080}


def test_probes_ask_paths_that_are_served_and_a_stop_has_its_time() -> None:
    template = one("StatefulSet")["spec"]["template"]
    container = template["spec"]["containers"][0]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    drain_s = float(one("ConfigMap")["data"]["ESS_DRAIN_TIMEOUT_S"])
    assert template["spec"]["terminationGracePeriodSeconds"] > 2 * drain_s + 2
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=[path.name for path in OVERLAYS])
def test_overlays_change_what_is_there(overlay: Path) -> None:
    found = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    assert "../../base" in found["resources"]
    for name in set(found["resources"]) - {"../../base"}:
        assert list(documents(overlay / name))
    for patch in found["patches"]:
        target = one(patch["target"]["kind"], patch["target"]["name"])
        for step in yaml.safe_load(patch["patch"]):
            place: Any = target
            *way, last = step["path"].strip("/").split("/")
            for key in way:
                place = place[int(key)] if isinstance(place, list) else place[key]
            if step["op"] != "add":
                assert last in place, step


def rendered(overlay: Path | None) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send, as far as schemas ask: patches applied, an overlay's own files added."""
    objects = {(each["kind"], each["metadata"]["name"]): each for each in base_objects()}
    if overlay is None:
        return list(objects.values())
    found = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    for patch in found["patches"]:
        target = patch["target"]["kind"], patch["target"]["name"]
        objects[target] = jsonpatch.apply_patch(objects[target], yaml.safe_load(patch["patch"]))
    own = [each for name in set(found["resources"]) - {"../../base"} for each in documents(overlay / name)]
    return [*objects.values(), *own]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=["base", *(path.name for path in OVERLAYS)])
def test_kubernetes_schemas_take_every_object(overlay: Path | None, version: str) -> None:
    found = rendered(overlay)
    assert {"StatefulSet", "ConfigMap", "Service", "NetworkPolicy", "Job"} <= {each["kind"] for each in found}
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = json.loads(json.dumps(one("StatefulSet")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


def test_the_autoscaler_scales_what_is_there() -> None:
    (scaler,) = documents(DEPLOY / "kubernetes" / "overlays" / "production" / "autoscaler.yaml")
    reference = scaler["spec"]["scaleTargetRef"]
    assert one(reference["kind"], reference["name"])["apiVersion"] == reference["apiVersion"]


# Settings named anywhere here must exist.


def variables() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in (*DEPLOY.rglob("*.yaml"), DEPLOY / "systemd" / "ess.service", ROOT / "Dockerfile"):
        names = set(re.findall(r"\bESS_[A-Z_]+", path.read_text()))
        if names:
            found[path.name] = names
    return found


@pytest.mark.parametrize(("file", "names"), variables().items(), ids=variables())
def test_settings_exist(file: str, names: set[str]) -> None:
    known = {f"ESS_{name.upper()}" for name in Settings.model_fields}
    assert names <= known, f"{file}: {sorted(names - known)}"


# systemd and compose.


def test_the_unit_is_sound() -> None:
    text = (DEPLOY / "systemd" / "ess.service").read_text()
    for line in ("KillMode=mixed", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=ess", "User=ess"):
        assert line in text.splitlines()
    assert "RestartPreventExitStatus=78" in text
    keys = [line.partition("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")]
    repeated = {"Environment", "SystemCallFilter"}
    assert len(keys) == len(set(keys)) + sum(keys.count(name) - 1 for name in repeated)


def test_compose_mounts_what_is_there() -> None:
    folder = DEPLOY / "compose"
    found = yaml.safe_load((folder / "compose.yaml").read_text())
    made_by_the_operator = {"./tls", "./policy", "./tls/ca.crt"}
    for name, service in found["services"].items():
        assert set(service.get("networks", ())) <= set(found["networks"]), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            is_there = source in found["volumes"] or source in made_by_the_operator or (folder / source).exists()
            assert is_there, f"{name}: {volume}"
    assert found["services"]["ess"]["read_only"] is True
    assert (folder / "grafana-dashboards.yaml").exists()
