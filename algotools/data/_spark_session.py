"""Sessions of Spark Connect: connection, limits and release. This module imports pyspark and gRPC.

gRPC starts threads for a connection. So only a process that reads a table of Spark imports this module, and a template
process, which is forked for each run, does not import it.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.machinery import ModuleSpec
from typing import Any

from algotools.data._spark_uri import SparkAddress
from algotools.data._sql import CONNECT_TIMEOUT
from algotools.data.reading import Unreadable
from algotools.data.time_limit import DEAD_PEER, IDLE

if (_main := sys.modules["__main__"]).__spec__ is None:
    # pyspark takes a main module with neither a file nor a specification (`python -c`) for its own tests, and exits.
    _main.__spec__ = ModuleSpec("__main__", None)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pyspark warns about the version of pandas, whose frames are not used here
    import grpc
    from pyspark.errors.exceptions.connect import SparkConnectGrpcException
    from pyspark.logger import PySparkLogger
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator
    from pyspark.sql.connect.client.retries import DefaultPolicy, RetryPolicyState
    from pyspark.sql.connect.session import SparkSession

for _name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
    # pyspark logs the message of each error to standard error. The message can contain a value from the data.
    PySparkLogger.getLogger(_name).disabled = True

CLOSE_TIMEOUT = 10
"""Seconds in which a server must confirm that it has released a session."""

_CHANNEL_OPTIONS = [("grpc.keepalive_time_ms", 1000 * IDLE), ("grpc.keepalive_timeout_ms", 1000 * (DEAD_PEER - IDLE))]
"""Test a silent connection, so that a query does not wait for a machine that no longer exists."""

_RETRIES = 6
"""Retries of a request whose connection was lost: about a minute. pyspark's default takes ten minutes."""

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.connect.serverStacktrace.enabled": "false",  # a stack trace of Java helps nobody at a node
    "spark.sql.pyspark.jvmStacktrace.enabled": "false",
}
"""Settings of every session."""


class _Deadline(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # mypy does not read gRPC
    """Sets a deadline for requests with one reply, which all of pyspark's requests are except those of rows."""

    seconds: float | None = None

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See ``grpc.UnaryUnaryClientInterceptor``."""
        return continuation(details if self.seconds is None else details._replace(timeout=self.seconds), request)


class _Retries(DefaultPolicy):  # type: ignore[misc]  # mypy does not read pyspark
    """pyspark's policy with fewer retries, and without its warning after the last one."""

    def __init__(self) -> None:
        super().__init__(max_retries=_RETRIES)

    def to_state(self) -> RetryPolicyState:
        """Return the state for one request."""
        return _RetriesState(self)


class _RetriesState(RetryPolicyState):  # type: ignore[misc]  # mypy does not read pyspark
    def can_retry(self, exception: BaseException) -> bool:
        """Return whether a retry is left, so that the last error is raised as it is."""
        return self._attempt < _RETRIES and bool(super().can_retry(exception))


def open_session(address: SparkAddress, stack: ExitStack) -> SparkSession:
    """Connect to a server, and return a new session, which ``stack`` releases.

    Raises:
        Unreadable: the server does not answer in time, or refuses the credentials.
    """
    timeout = int(address.timeout or 0) or CONNECT_TIMEOUT
    builder, deadline = DefaultChannelBuilder(address.uri, _CHANNEL_OPTIONS), _Deadline()
    builder.add_interceptor(deadline)
    session = SparkSession(connection=builder)  # the builder of pyspark would make it the session of the whole process
    deadline.seconds = timeout
    session.client.set_retry_policies([])
    try:
        for name, value in SETTINGS.items():
            session.conf.set(name, value)
    except BaseException as error:
        session.client.close()
        raise _explain(error, timeout) from None
    stack.callback(_close, session, deadline)
    deadline.seconds = None  # a query has no time limit
    session.client.set_retry_policies([_Retries()])
    return session


def _explain(error: BaseException, timeout: int) -> BaseException:
    """Return the reason why a connection failed."""
    code = error.getGrpcStatusCode() if isinstance(error, SparkConnectGrpcException) else None
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        advice = "check that the server runs, and that no firewall or proxy blocks it"
        return Unreadable(f"its server does not answer within {timeout} s; {advice}", error)
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Unreadable("its server refuses the login; correct the options user and token", error)
    if code == grpc.StatusCode.UNAVAILABLE:
        return Unreadable("its server cannot be reached; check its address, and whether it needs use_ssl=true", error)
    return error


def _close(session: SparkSession, deadline: _Deadline) -> None:
    """Release the session in the server, with its views and its running queries, and close the connection."""
    deadline.seconds = CLOSE_TIMEOUT
    session.client.set_retry_policies([])
    with suppress(Exception):  # the server discards a session that nobody uses
        session.stop()
    # The threads that release results end with the last reader. Readers are in cycles of references.
    gc.collect()
    ExecutePlanResponseReattachableIterator.shutdown_threadpool_if_idle()
