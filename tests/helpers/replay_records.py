"""Replays what another process recorded: `python -m tests.helpers.replay_records FOLDER` prints how many of each
verdict. The snapshot it lives with is the toy one, so that everything must come from the archive."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import msgspec

from service.warmup import toy_snapshot
from store.archive import Archive
from store.record_reader import RecordedSelection
from tests.helpers.replay_world import Host, Records


async def verdicts(folder: Path) -> Counter[str]:
    records = msgspec.msgpack.decode((folder / "records").read_bytes(), type=list[RecordedSelection])
    host = Host(Archive(folder / "archive"), Records(), toy_snapshot())
    replayer = host.replayer()
    return Counter([(await replayer.replay(host.records.add(record))).verdict.name for record in records])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(verdicts(Path(sys.argv[1])))))
