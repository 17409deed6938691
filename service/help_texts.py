"""Examples that `ess COMMAND --help` ends with. A test reads each as the command line would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Command -> (line, what it does).
EXAMPLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "serve": (
        ("ess serve", "gRPC on 127.0.0.1:50051, REST on 8080, data in ./var"),
        ("ESS_WORKERS=4 ESS_DATA_DIR=/srv/ess ess serve", "four processes on one port"),
    ),
    "settings": (("ess settings", "as Markdown"), ("ess settings --json", "for programs")),
    "recommend": (
        ("ess recommend order.json", "a table and the reasons"),
        ("ess recommend orders.json --json", "whole answers, for programs"),
        ("cat order.json | ess recommend - --quiet", "from stdin, the table alone"),
    ),
    "status": (
        ("ess status order-1", "state, progress, the plan in force"),
        ("ess status order-1 --json", "every field"),
    ),
    "replay": (("ess replay 0b0f5a9e-9c0a-4f5e-8d2c-1f2e3d4c5b6a", "the selection_id of an answer"),),
    "catalogue": (("ess catalogue", "a table"), ("ess catalogue --json", "values of every range, for programs")),
    "atdl": (("ess atdl --out catalogue.xml", "a file"), ("ess atdl --version 2", "to stdout")),
    "migrate": (
        ("ess migrate", "the embedded database of ./var"),
        ("ESS_DATABASE_OWNER_URL=postgresql://owner@db/ess ess migrate", "your own"),
    ),
    "audit verify": (
        ("ess audit verify", "every chain, every row"),
        ("ess audit verify --heads heads.jsonl --json", "against heads kept elsewhere"),
        ("ess audit verify --archive /srv/archive", "and over the weeks that retention took away"),
    ),
    "audit heads": (("ess audit heads", "a JSON object a journal; append them to a file elsewhere"),),
    "retention": (
        ("ess retention --dry-run", "what would go"),
        ("ess retention --keep-weeks 8 --archive /srv/archive", "export, then detach"),
        ("ess retention --keep-weeks 8 --archive /srv/archive --drop", "and drop what the archive holds"),
    ),
    "learn status": (
        ("ess learn status", "corrections, alarms, promotions"), ("ess learn status --json", "every figure"),
    ),
    "learn update": (("ess learn update", "at once, not at the next look"),),
    "learn shadow": (("ess learn shadow refitted --most 5000", "the newest decisions, by the models in refitted/"),),
    "learn evaluate": (
        ("ess learn evaluate refitted", "a table; exit code 0 where it is shown to be better"),
        ("ess learn evaluate refitted --json", "for programs"),
    ),
    "learn promote": (
        ("ess learn promote refitted --reason 'quarterly refit'", "where it is shown to be better"),
        ("ess learn promote refitted --anyway --reason 'new desk'", "all the same"),
    ),
    "learn rollback": (("ess learn rollback --reason 'worse on Monday'", "the models from before"),),
    "artifacts list": (
        ("ess artifacts list", "a table"), ("ess artifacts list --json", "every field, evaluations too"),
    ),
    "artifacts activate": (
        ("ess artifacts activate refitted --reason 'quarterly refit'", "the models in refitted/, everywhere"),
        ("ess artifacts activate 3f2a9c01d7 --shadow --reason 'a look'", "scored beside the active ones"),
    ),
    "artifacts rollback": (("ess artifacts rollback --reason 'worse on Monday'", "the models from before"),),
    "halt": (
        ("ess halt FIRM --reason 'feed is wrong'", "everything"),
        ("ess halt INSTRUMENT AAPL --reason 'news' --json", "one instrument"),
        ("ess halt STRATEGY VWAP --reason 'misbehaves'", "one algorithm"),
    ),
    "resume": (("ess resume 0b0f5a9e-9c0a-4f5e-8d2c-1f2e3d4c5b6a --reason 'feed is right again'", "the halt's id"),),
    "controls": (("ess controls", "halts and limits"), ("ess controls --json", "with the lease")),
    "limits": (
        ("ess limits limits.json --reason 'quarterly review'", "[{\"scope\": \"FIRM\", \"max_notional\": 5000000}]"),
        ("ess limits - --reason 'desk is closed'", "from stdin"),
    ),
    "report": (
        ("ess report --from 2025-06-01 --to 2025-06-30 --out june", "june/report.html, CSV and Parquet"),
        ("ess report --from 2025-06-01 --to 2025-06-30 --out june --algorithm VWAP --no-parquet", "one algorithm"),
    ),
    "health": (("ess health", "exit code 0 if it serves"), ("ess health --address host:50051", "of another host")),
    "demo": (("ess demo", "36 orders, and what is stored of them"), ("ess demo --keep", "look at its data after")),
    "completion": (
        ("ess completion bash", "the script; put it where bash looks: ~/.local/share/bash-completion/completions/ess"),
        ("ess completion zsh", "into a folder of $fpath, as _ess"),
        ("ess completion fish", "into ~/.config/fish/completions/ess.fish"),
    ),
}


def examples(command: str) -> str:
    """The end of a command's help. Blank lines keep lines apart where a terminal is drawn."""
    width = max(len(line) for line, _ in EXAMPLES[command])
    lines = [f"{line.ljust(width)}  # {what}" for line, what in EXAMPLES[command]]
    return "\n\n".join(["Examples:", *lines])
