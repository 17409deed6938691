"""One unary call of gRPC's core, from its headers to its status, without the tasks that grpc.aio would make for it.

grpc.aio answers a call in two tasks, four futures and a look at what kind of function the handler is. Here its message
is asked for at once, the one task begins when the message is there, and the answer is handed to the core with nobody
waiting for it: a batch of operations is a coroutine of grpcio's whose first step starts it, and whose second step, when
its future is done, takes what came of it; both are made by hand.

This stands on parts of grpcio that are not its public interface (`_cython.cygrpc`); grpcio is pinned, and what is used
of it is held by tests/contract/test_accepting.py.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog

from service.errors import DETAILS_KEY, RpcError

Call = Any  # cygrpc.RPCState
Context = Any
Operations = tuple[Any, ...]
Handle = Callable[[bytes, Context], Awaitable[bytes | None]]

_NO_FLAGS: Final = 0
_OK: Final = 0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Core:
    """What is used of grpcio's inside."""

    server: Any  # cygrpc.AioServer
    context: Callable[..., Context]
    execute: Callable[..., Coroutine[Any, Any, None]]
    receive_message: Callable[[int], Any]
    receive_close: Callable[[int], Any]
    send_metadata: Callable[[None, int], Any]
    send_message: Callable[[bytes, int], Any]
    send_status: Callable[[tuple[Any, ...], int, str, int], Any]
    request_failed: type[Exception]

    @staticmethod
    def of(server: Any) -> Core | None:
        """Of a grpc.aio.Server; None where this grpcio is another one."""
        try:
            inside: Any = importlib.import_module("grpc._cython.cygrpc")
            core = Core(
                server._server, inside._ServicerContext, inside.execute_batch, inside.ReceiveMessageOperation,
                inside.ReceiveCloseOnServerOperation, inside.SendInitialMetadataOperation, inside.SendMessageOperation,
                inside.SendStatusFromServerOperation, inside._RequestCallError,
            )
            _ = (core.server._request_registered_call, core.server.is_running)
        except (ImportError, AttributeError) as error:
            log.warning("this grpcio has another inside; calls are taken the usual way", reason=str(error))
            return None
        return core

    def answer(self, data: bytes, trailing: tuple[Any, ...], closing: Operations) -> Operations:
        """`closing`: what waits for the call's end, where nothing did so far."""
        return (
            self.send_metadata(None, _NO_FLAGS), self.send_message(data, _NO_FLAGS),
            self.send_status(trailing, _OK, "", _NO_FLAGS), *closing,
        )  # fmt: skip

    def refusal(self, why: RpcError) -> Operations:
        code: int = why.code.value[0]
        return (
            self.send_metadata(None, _NO_FLAGS),
            self.send_status(((DETAILS_KEY, why.details),), code, why.text, _NO_FLAGS),
        )  # fmt: skip


class Batch:
    """Operations of a call that are with the core. `then` is called once with whether they succeeded: at once where the
    core does not take them. Operations are made anew for each: the core fills them in."""

    __slots__ = ("_then", "_work")

    def __init__(self, core: Core, call: Call, operations: Operations, loop: asyncio.AbstractEventLoop,
                 then: Callable[[bool], None]) -> None:
        self._then = then
        self._work = core.execute(call, operations, loop)
        try:
            waited_for = self._work.send(None)
        except Exception as error:  # the call is over
            log.debug("the core did not take a batch", reason=repr(error))
            then(False)
            return
        waited_for.add_done_callback(self._done)

    def _done(self, _: asyncio.Future[None]) -> None:
        succeeded = False
        try:
            self._work.send(None)
        except StopIteration:
            succeeded = True
        except Exception as error:  # of the core: the caller is gone
            log.debug("a batch failed", reason=repr(error))
        self._then(succeeded)


def nothing_more(_: bool) -> None:
    """For a batch that nobody waits for."""


class ServedCall:
    """A call that was begun. Its handler ends every way that it can end by an answer or an abort, as `GrpcServer._run`
    does. `on_read` is called when its message is there or will never be, or it is not waited for any
    more; `on_ended` when its handler has ended, or never begins.

    Nobody asks whether the caller is still there until `watch`: most calls are over before they would hear of it, and
    then their end is waited for along with their answer, which spares a batch and a waking of the loop."""

    __slots__ = ("_call", "_closing", "_core", "_handle", "_is_gone", "_is_under_way", "_loop", "_message",
                 "_on_ended", "_on_read", "_task", "is_over", "is_read")  # fmt: skip

    def __init__(self, core: Core, call: Call, handle: Handle, loop: asyncio.AbstractEventLoop,
                 on_read: Callable[[], None], on_ended: Callable[[ServedCall], None]) -> None:
        self._core = core
        self._call = call
        self._handle = handle
        self._loop = loop
        self._on_read = on_read
        self._on_ended = on_ended
        self._task: asyncio.Task[None] | None = None
        self._closing: Any = None
        self._is_gone = self._is_under_way = False
        self.is_read = self.is_over = False

    def begin(self) -> None:
        self._message = self._core.receive_message(_NO_FLAGS)
        Batch(self._core, self._call, (self._message,), self._loop, self._received)

    def watch(self) -> None:
        """From now on it is noticed when the caller goes."""
        if self._closing is None and not self.is_over:
            self._closing = self._core.receive_close(_NO_FLAGS)
            Batch(self._core, self._call, (self._closing,), self._loop, self._closed)

    def read(self) -> None:
        """It is read, or is not waited for any more."""
        if not self.is_read:
            self.is_read = True
            self._on_read()

    def _received(self, _: bool) -> None:
        self.read()
        data: bytes | None = self._message.message()
        if data is None:  # its caller was gone before
            self._end()
            return
        self._message = None
        self._task = self._loop.create_task(self._answer(data))

    def _closed(self, _: bool) -> None:
        """The caller is gone, or has its status."""
        if self._closing.cancelled():
            self._is_gone = True
            # A task that is cancelled before it began would not even end as it should.
            if self._is_under_way and self._task is not None:
                self._task.cancel()

    async def _answer(self, data: bytes) -> None:
        self._is_under_way = True
        try:
            if not self._is_gone:
                await self._answer_to(data, self._core.context(self._call, None, None, self._loop))
        except asyncio.CancelledError:
            log.debug("a caller is gone")
        except grpc.aio.AbortError:
            self.watch()  # its status is sent; the core gives a call up whose end nobody waits for
        except grpc.aio.InternalError as error:
            log.debug("a caller is gone", reason=repr(error))
        finally:
            self._is_under_way = False
            self._end()

    def _end(self) -> None:
        self.is_over = True
        self._on_ended(self)

    async def _answer_to(self, data: bytes, context: Context) -> None:
        answer = await self._handle(data, context)
        if answer is not None and not self._is_gone:
            closing = (self._core.receive_close(_NO_FLAGS),) if self._closing is None else ()
            self.is_over = True
            operations = self._core.answer(answer, context.trailing_metadata(), closing)
            Batch(self._core, self._call, operations, self._loop, nothing_more)
