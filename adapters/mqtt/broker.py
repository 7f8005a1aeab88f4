"""An MQTT broker inside the process, for demonstrations and tests: amqtt on the loopback interface."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import TracebackType
from typing import Any

from agent.domain.errors import TransportError

logger = logging.getLogger(__name__)

_START_S = 10.0
_USER = "sightline"


class EmbeddedBroker:
    """amqtt in a thread of its own with its own event loop; a context manager.

    It listens on the loopback interface only, where anybody of this machine may connect. It speaks MQTT
    3.1.1, and keeps everything in memory. Its limits (amqtt 0.12): it does not bound what is in flight, gives
    up on a delivery that is unacknowledged after five seconds (the client still has it) and forgets
    unacknowledged deliveries with their connection. For anything but one process, use a real broker.
    """

    def __init__(self, port: int = 0) -> None:
        """``port`` 0 takes a free one."""
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> EmbeddedBroker:
        """Start and wait until it accepts connections. Raises TransportError."""
        if self._thread is not None:
            raise TransportError("the embedded broker was started already")
        self._thread = threading.Thread(target=self._main, name="embedded-broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S) or self._error is not None:
            raise TransportError(f"the embedded broker did not start: {self._error or 'no answer in time'}")
        return self

    def stop(self) -> None:
        """Disconnect everybody and end the thread."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_START_S)
            self._thread = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Names a user, without a password: amqtt keeps sessions only of clients that do."""
        return f"mqtt://{_USER}@127.0.0.1:{self._port}"

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------- the thread

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._error = error
            logger.debug("the embedded broker ended", exc_info=True)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from adapters.mqtt.amqtt_broker import LoopbackBroker

        _quieten()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unhandled)
        self._stop = asyncio.Event()
        broker = LoopbackBroker(self._configuration())
        await broker.start()
        try:
            self._port = _listening_port(broker)
            self._ready.set()
            await self._stop.wait()
        finally:
            await broker.shutdown()

    def _configuration(self) -> dict[str, Any]:
        return {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
            "plugins": {},
        }


def _listening_port(broker: Any) -> int:
    """The port that the system chose: amqtt does not tell, its asyncio server does."""
    server = broker._servers["default"].instance
    return int(server.sockets[0].getsockname()[1])


def _quieten() -> None:
    """amqtt warns of ordinary events (a client that comes with MQTT 5, a slow acknowledgement)."""
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tasks of clients that went away; asyncio would write them to standard error."""
    logger.debug("embedded broker: %s", context.get("message"), exc_info=context.get("exception"))
