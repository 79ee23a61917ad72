"""The TCP listener of a federation: it hands each connection of an engine's process to the run that it belongs to."""

from __future__ import annotations

import contextlib
import queue
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

from algotools.errors import EngineError, Stopped
from algotools.federation.engines._connections import (
    CHANNELS,
    CONTROL,
    GREETING_SIZE,
    KEY_SIZE,
    LEASE,
    OUTPUT,
    Ticket,
    close_in_forks,
    configure,
    end,
)
from algotools.federation.engines._engine import Address

_BACKLOG = 1024
_GREETING_TIMEOUT = 10.0
"""Seconds in which a new connection must send its key."""
_CONNECTION_TIMEOUT = 30.0
"""Seconds in which the connections of a started worker must arrive."""
_RETRY_DELAY = 0.1
"""Seconds until the next attempt to accept a connection when this process has too many open files."""


class Visit:
    """The connections of one ticket, which a process of the engine opens.

    Args:
        ticket: the ticket.
    """

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self._lock = threading.Lock()
        self._arrivals: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._used: set[bytes] = set()
        self._connections: dict[bytes, socket.socket] = {}
        self._has_worker = False
        self._is_cancelled = False
        self._is_closed = False

    def add(self, purpose: bytes, connection: socket.socket) -> bool:
        """Add a connection; return false if the ticket is not valid for it, because it was used before."""
        with self._lock:
            is_next = CONTROL in self._used or purpose == CONTROL  # the control connection is the first one
            if self._is_closed or purpose in self._used or purpose not in (CONTROL, OUTPUT, *CHANNELS) or not is_next:
                return False
            self._used.add(purpose)
            self._connections[purpose] = connection
            if purpose == CONTROL and self._is_cancelled:
                _stop(connection)
        self._arrivals.put(purpose)
        return True

    def note_worker(self) -> None:
        """Note that the worker has started, so that ``cancel`` leaves the control connection open for its exit code.

        Raises:
            Stopped: the run was cancelled before.
        """
        with self._lock:
            if self._is_cancelled:
                raise Stopped("the run was cancelled before its process started")
            self._has_worker = True

    def has_begun(self) -> bool:
        """Whether the control connection has arrived."""
        with self._lock:
            return CONTROL in self._used

    def cancel(self) -> None:
        """Kill the worker, or refuse to start it; do not wait for that."""
        with self._lock:
            self._is_cancelled = True
            control = self._connections.get(CONTROL)
            if control is not None and self._has_worker:
                _stop(control, socket.SHUT_WR)  # the exit code still has to arrive
            elif control is not None:
                _stop(control)  # a process of the engine that is stopped would not answer
        self._arrivals.put(None)

    def report_end(self, future: Future[str]) -> None:
        """Stop waiting for connections, because the engine's call has ended."""
        self._arrivals.put(future)

    def wait(self, purpose: bytes, timeout: float | None = None) -> socket.socket | Future[str]:
        """Return the connection with a purpose, or the engine's call if it has ended before.

        Raises:
            Stopped: the run was cancelled.
            TimeoutError: the connection does not arrive, although the control connection has arrived; or the control
                connection does not arrive within *timeout* seconds.
        """
        limit = timeout if purpose == CONTROL else _CONNECTION_TIMEOUT
        while True:
            with self._lock:
                if purpose in self._connections:
                    return self._connections[purpose]
                if self._is_cancelled:
                    raise Stopped("the run was cancelled before its process started")
            try:
                arrival = self._arrivals.get(timeout=limit)
            except queue.Empty:
                raise TimeoutError from None
            if isinstance(arrival, Future):
                if not self.has_begun():
                    return arrival
                limit = 0.0  # the call has ended, so no more connections arrive

    def take(self, purpose: bytes) -> socket.socket:
        """Remove an arrived connection, which the caller then closes."""
        with self._lock:
            return self._connections.pop(purpose)

    def close(self) -> None:
        """Close all connections that were not taken."""
        with self._lock:
            self._is_closed = True
            for connection in self._connections.values():
                end(connection)
            self._connections.clear()


class Gateway:
    """Accepts the connections of a federation's engine.

    Args:
        address: the address to listen on, by which the machines of the engine reach this one.
        federation: the random name of the federation.

    Raises:
        EngineError: this machine cannot listen on the address.
    """

    def __init__(self, address: Address, federation: str) -> None:
        self._address = address
        self._federation = federation
        self._lock = threading.Lock()
        self._listener: socket.socket | None = self._listen()
        self._visits: dict[bytes, Visit] = {}
        self._leases: list[socket.socket] = []
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self._is_closed = False

    def start(self) -> None:
        """Accept connections in a thread.

        Raises:
            EngineError: this machine cannot listen on the address any more.
        """
        with self._lock:
            if self._thread is not None or self._is_closed:
                return
            self._listener = listener = self._listener or self._listen()
            self._wake, woken = socket.socketpair()
            self._thread = threading.Thread(
                target=self._accept_all, args=(listener, woken), name="engine gateway", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread until ``start`` is called again, and refuse connections meanwhile."""
        with self._lock:
            thread, wake, listener = self._thread, self._wake, self._listener
            self._thread = self._wake = self._listener = None
        if thread is not None and wake is not None:
            end(wake)
            thread.join()
        if listener is not None:
            end(listener)

    def close(self) -> None:
        """Cancel all runs, refuse new connections, and release everything."""
        with self._lock:
            self._is_closed = True
            visits = list(self._visits.values())
        for visit in visits:
            visit.cancel()
        self.stop()
        with self._lock:
            for lease in self._leases:
                end(lease)
            self._leases.clear()

    @contextlib.contextmanager
    def open_visit(self) -> Iterator[Visit]:
        """Make a ticket with a new key, which is valid while the context is open.

        Raises:
            Stopped: the federation is closed.
        """
        self.start()
        with self._lock:
            if self._is_closed or self._listener is None:
                raise Stopped("the federation was closed before the run started")
            port = int(self._listener.getsockname()[1])
            visit = Visit(Ticket(self._address.host, port, secrets.token_bytes(KEY_SIZE), self._federation))
            self._visits[visit.ticket.key] = visit
        try:
            yield visit
        finally:
            with self._lock:
                del self._visits[visit.ticket.key]
            visit.close()

    def _listen(self) -> socket.socket:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise EngineError(
                f"this machine cannot listen on {self._address} ({error.strerror or error}); choose one of its own "
                "addresses with address= (--address)"
            ) from None
        listener.setblocking(False)
        close_in_forks(listener)
        return listener

    def _accept_all(self, listener: socket.socket, woken: socket.socket) -> None:
        """Accept connections until the other end of *woken* is closed."""
        # One poll waits for new connections and for the keys of accepted ones, so no connection delays another one.
        greetings: dict[int, tuple[socket.socket, bytes, float]] = {}
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(listener, select.POLLIN)
        with woken:
            while True:
                readable = {number for number, _ in poll.poll(1000.0 if greetings else None)}
                if woken.fileno() in readable:
                    break
                for number, (connection, earlier, deadline) in list(greetings.items()):
                    received = earlier
                    if number in readable:
                        received += _receive(connection, GREETING_SIZE - len(earlier))
                        greetings[number] = connection, received, deadline
                    is_complete = len(received) == GREETING_SIZE
                    if is_complete or time.monotonic() > deadline or (number in readable and received == earlier):
                        del greetings[number]
                        poll.unregister(number)
                        self._hand_over(connection, received if is_complete else b"")
                if listener.fileno() in readable and (new := _accept(listener)) is not None:
                    greetings[new.fileno()] = new, b"", time.monotonic() + _GREETING_TIMEOUT
                    poll.register(new, select.POLLIN)
        for connection, _, _ in greetings.values():
            end(connection)

    def _hand_over(self, connection: socket.socket, greeting: bytes) -> None:
        """Give a connection to its run, or close it without a word."""
        key, purpose = greeting[:KEY_SIZE], greeting[KEY_SIZE:]
        with self._lock:
            visit = self._visits.get(key)
            if visit is None or self._is_closed:
                end(connection)
                return
            connection.setblocking(True)
            close_in_forks(connection)
            if purpose == LEASE and visit.has_begun():
                self._leases.append(connection)
                return
        if not visit.add(purpose, connection):
            end(connection)


def _accept(listener: socket.socket) -> socket.socket | None:
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, ConnectionError):
        return None
    except OSError:  # too many open files; the connection waits
        time.sleep(_RETRY_DELAY)
        return None
    connection.setblocking(False)
    configure(connection)
    return connection


def _receive(connection: socket.socket, size: int) -> bytes:
    try:
        return connection.recv(size)
    except OSError:
        return b""


def _stop(connection: socket.socket, directions: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(directions)
