"""What a worker loads while the supervisor still prepares the host: the modules that `build` imports, and the compiled
code that warming up calls. Most of a start is this, and none of it depends on the database or the data folder."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Final

from service.settings import Settings

# What `service.bootstrap.build` imports itself.
BUILD_IMPORTS: Final = ("service.server_wiring",)


def preload(settings: Settings) -> None:
    """Afterwards loading, warming up and opening the journal import and compile nothing more."""
    for name in BUILD_IMPORTS:
        importlib.import_module(name)
    # These come with what `build` imports, gRPC too.
    from service.warmup import toy_models, toy_snapshot, warm
    from store.journal import pen_compiled

    snapshot = toy_snapshot()
    warm(replace(snapshot, models=toy_models()) if settings.models == "on" else snapshot)
    if settings.workers == 1:  # several leave the journal to the keeper's process
        pen_compiled.prepare()
