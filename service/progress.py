"""Progress of long work at a terminal: on stderr, and only where a person looks, so that outputs stay what they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def steps(names: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """A bar over steps; what is given is told the number of each that is done."""
    with bar(names[0], len(names)) as advance:

        def done(step: int) -> None:
            advance(1, names[step + 1] if step + 1 < len(names) else "done")

        yield done


@contextmanager
def bar(name: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """A bar; what is given is told how much more is done, and what comes now. `total` None: nobody knows."""
    if not sys.stderr.isatty():
        yield lambda _more, _name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total)
        yield lambda more, now: progress.update(task, advance=more, description=now)
