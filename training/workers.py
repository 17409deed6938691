"""Where the work is done: in this process, in a pool of processes, or on a Dask cluster. The results are the same.

Functions and items are pickled, so functions stand at the top of a module, and workers import this project themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Each worker is one of several on a machine: threads of its own would only get into the others' way.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class Workers(Protocol):
    """`run` gives (position of the item, result) as they get ready; what a worker raises is raised here."""

    @property
    def count(self) -> int: ...

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]: ...


class Serial:
    """This process, one after the other."""

    @property
    def count(self) -> int:
        return 1

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        for position, item in enumerate(items):
            yield position, function(item)


class Pool:
    """Spawned processes: they inherit no thread and no lock."""

    def __init__(self, executor: ProcessPoolExecutor, jobs: int) -> None:
        self._executor, self._jobs = executor, jobs

    @property
    def count(self) -> int:
        return self._jobs

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        waiting = {self._executor.submit(function, item): position for position, item in enumerate(items)}
        try:
            for done in as_completed(waiting):
                yield waiting.pop(done), done.result()
        finally:
            for future in waiting:
                future.cancel()


class Cluster:
    """Workers behind a Dask scheduler, each with this version of the project and its artifacts installed."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def count(self) -> int:
        return max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        import distributed

        completed: Any = distributed.as_completed  # without types
        # Not pure: Dask would give two equal items one task, and keep results that nobody asks for again.
        waiting = {
            self._client.submit(function, item, pure=False): position for position, item in enumerate(items)
        }
        try:
            # The loop is said, because the client is not made the process's default one.
            for done in completed(list(waiting), loop=self._client.loop):
                yield waiting.pop(done), done.result()
        finally:
            self._client.cancel(list(waiting))


def open_workers(jobs: int = 1, cluster: str = "") -> AbstractContextManager[Workers]:
    """A cluster if an address is given, else a pool of `jobs` processes, or this process for one."""
    if cluster:
        return open_cluster(cluster)
    return open_pool(jobs) if jobs > 1 else nullcontext(Serial())


def end_with_parent() -> None:
    """Ends this process when the one that spawned it is gone: a worker of a killed run would work off what it was
    given, for minutes, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), name="end-with-parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def open_pool(jobs: int) -> Iterator[Pool]:
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # children read it when they start
    spawning = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=spawning, initializer=end_with_parent)
    try:
        yield Pool(executor, jobs)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def open_cluster(address: str) -> Iterator[Cluster]:
    """Raises OSError where no scheduler answers."""
    import distributed

    connect: Any = distributed.Client  # without types
    with connect(address, set_as_default=False) as client:
        yield Cluster(client)
