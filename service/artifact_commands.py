"""What `ess artifacts` runs: list, activate, roll back. All of it asks the running service; nothing is put in force by
the command itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.settings import Settings

if TYPE_CHECKING:
    from service.client import Answer, ServiceClient

DONE, REFUSED, BAD_INPUT = 0, 1, 2
SHORT: Final = 12
# Of a hash: fewer digits might mean another one tomorrow.
LEAST_DIGITS: Final = 8
# The answer then names no workers.
ALONE: Final = "PostgreSQL does not answer"


def show(settings: Settings, address: str | None, as_json: bool) -> int:
    """Every artifact of the host, and what each worker decides from."""
    from service.client import connect

    with connect(settings, address) as client:
        answer = client.artifacts()
    if answer.response is None:
        return refusal(answer)
    if as_json:
        print(json.dumps(answer.response, indent=2))
    else:
        print_artifacts(answer.response)
    return DONE


def activate(settings: Settings, address: str | None, which: str, reason: str, shadow: bool, as_json: bool) -> int:
    """`which`: a hash, its first digits, or a folder of this host, which is archived first."""
    from service.client import connect

    with connect(settings, address) as client:
        found = hash_of(settings, client, which)
        if found is None:
            return BAD_INPUT
        return told(client.activate(found, reason, shadow), as_json)


def rollback(settings: Settings, address: str | None, reason: str, as_json: bool) -> int:
    """Back to what decided before the last activation."""
    from service.client import connect

    with connect(settings, address) as client:
        answer = client.artifacts()
        if answer.response is None:
            return refusal(answer)
        previous = str(answer.response.get("previous_manifest_sha256", ""))
        if not previous:
            is_known = bool(answer.response["workers"])
            why = "nothing was activated before" if is_known else f"what decided before is not known now: {ALONE}"
            print(f"ess: {why}", file=sys.stderr)
            return REFUSED
        return told(client.activate(previous, reason, False), as_json)


def hash_of(settings: Settings, client: ServiceClient, which: str) -> str | None:
    """The whole hash; None, and why on stderr, for what names no artifact or several."""
    if Path(which).is_dir():
        return archived(settings, Path(which))
    if len(which) == 64:
        return which.lower()
    answer = client.artifacts()
    if answer.response is None:
        refusal(answer)
        return None
    listed: Any = answer.response["artifacts"]
    found = [one["manifest_sha256"] for one in listed if one["manifest_sha256"].startswith(which.lower())]
    if len(found) == 1 and len(which) >= LEAST_DIGITS:
        return str(found[0])
    print(f"ess: {which} names {len(found)} artifacts of this host; give a folder, or {LEAST_DIGITS} digits or more of "
          "one hash", file=sys.stderr)  # fmt: skip
    return None


def archived(settings: Settings, folder: Path) -> str | None:
    from service.reference_keeper import ARCHIVE_FOLDER
    from store.archive import Archive
    from store.errors import StoreError

    try:
        return Archive(settings.data_dir / ARCHIVE_FOLDER).keep_artifact(folder).sha256
    except (StoreError, OSError) as error:
        print(f"ess: {error}", file=sys.stderr)
        return None


def told(answer: Answer, as_json: bool) -> int:
    if answer.response is None:
        return refusal(answer)
    if as_json:
        print(json.dumps(answer.response, indent=2))
        return DONE
    found: dict[str, Any] = answer.response
    words = "active already" if found["already_active"] else "done"
    print(f"{words}: {found['manifest_sha256']}; decided before: {found['previous_manifest_sha256'] or 'none'}")
    for one in found["workers"]:
        state = "confirmed" if one["confirmed"] else f"pending {one['reason']}".rstrip()
        print(f"  {one['host_id']}/{one['worker_index']} {state}")
    return DONE


def refusal(answer: Answer) -> int:
    print(f"ess: {answer.code}: {answer.message}", file=sys.stderr)
    return REFUSED


def print_artifacts(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("hash", "kind", "built", "by", "state", "in shadow"):  # folded, not cut: a reason is there to be read
        table.add_column(name, overflow="fold")
    for one in found["artifacts"]:
        state = "active" if one["active"] else "shadow" if one["shadow"] else one["unfit_reason"]
        scored = f"{one['shadow_same_choice']} of {one['shadow_scores']} alike" if int(one["shadow_scores"]) else ""
        row = (one["manifest_sha256"][:SHORT], one["kind"], one["created_at"][:19], one["origin"], state, scored)
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    if not found["workers"]:
        console.print(f"what other workers decide from is not known now: {ALONE}")
    for one in found["workers"]:
        hash_ = one["manifest_sha256"][:SHORT] or "no models"
        console.print(Text(f"{one['host_id']}/{one['worker_index']} decides from {hash_} {one['reason']}".rstrip()))
