"""The messages of a build, read in a thread, so that a cancelled build is followed until the engine has stopped it."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Union

import docker
from requests import Response

from algotools.image.engine import Message

_POLLING_INTERVAL = 0.02
_SIGNAL_INTERVAL = 0.2


class BuildStream:
    """The messages of one build by the engine.

    The engine does not stop a build at once when its client disconnects: it still creates the image of a step such as
    ``COPY`` or ``CMD``. A client that has disconnected cannot know when. So ``cancel`` closes only the sending half of
    the connection, which cancels the build, and the engine still reports the last step and its own end.
    """

    def __init__(self, client: docker.DockerClient, *, timeout: int, **options: Any) -> None:
        """Start the build with the options of docker-py. *timeout* limits each wait for the engine, in seconds."""
        self._client = client
        self._timeout = timeout
        self._options = options
        self._response: Response | None = None
        self._items: queue.SimpleQueue[Union[Message, BaseException, None]] = queue.SimpleQueue()
        # A daemon, because a user who does not wait for the cancellation may end the process.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Message]:
        """Yield each message as it arrives, and raise the error of the request or of the connection."""
        while (item := self._wait()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
        self._items.put(None)  # for `cancel`

    def cancel(self, timeout: float) -> Iterator[Message]:
        """Cancel the build, and yield the messages until the engine has stopped it, at most for *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while self._response is None and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(_POLLING_INTERVAL)  # the archive is still being sent
        self._close_sending_half()
        with contextlib.suppress(queue.Empty):
            while (item := self._items.get(timeout=max(deadline - time.monotonic(), 0))) is not None:
                if not isinstance(item, BaseException):
                    yield item

    def _wait(self) -> Union[Message, BaseException, None]:
        # A signal that arrives just before the lock is acquired is handled only after the lock: so wait in intervals.
        while True:
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=_SIGNAL_INTERVAL)

    def _read(self) -> None:
        hooks = self._client.api.hooks["response"]
        hooks.append(self._remember)
        try:
            for message in self._client.api.build(timeout=self._timeout, **self._options):
                self._items.put(message)
        except BaseException as error:  # raised again in the thread of the build
            self._items.put(error)
        finally:
            hooks.remove(self._remember)
            self._items.put(None)

    def _remember(self, response: Response, **_options: Any) -> None:
        if threading.current_thread() is self._thread:  # other threads may use the same client
            self._response = response

    def _close_sending_half(self) -> None:
        connection = getattr(getattr(self._response, "raw", None), "connection", None)
        channel = getattr(connection, "sock", None)
        if channel is not None:
            # TLS has no halves: without the other half the messages end here, and the engine stops by itself.
            is_encrypted = isinstance(channel, ssl.SSLSocket)
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR if is_encrypted else socket.SHUT_WR)
