"""What `deploy/` asks of the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def named_metrics() -> set[str]:
    """Every metric that an alert, a panel or the autoscaler asks for."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    asked = [rule["expr"] for rule in alerts()]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    autoscaler = (DEPLOY / "kubernetes" / "overlays" / "production" / "autoscaler.yaml").read_text()
    asked.append(autoscaler.partition("metrics:")[2])
    return {name for text in asked for name in re.findall(r"\bess_[a-z_]+", text)}
