"""The health endpoint as a server of its own: for hosts whose services speak no HTTP."""

from __future__ import annotations

from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from legal_store.errors import OperationFailedError
from legal_store.monitor.endpoint import wsgi


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10  # a client that says nothing does not keep its thread

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):  # a probe that only looks whether somebody listens
            super().handle()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (its name in the standard library)
        pass


def health_server(host: str, port: int) -> WSGIServer:
    """Return a server that listens; `serve_forever()` answers. Port 0 takes any free one.

    Raises OperationFailedError when the address cannot be listened on.
    """
    try:
        return make_server(host, port, wsgi, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        raise OperationFailedError(
            f"Cannot listen on {host}:{port}: {getattr(error, 'strerror', 'a port is a number from 0 to 65535')}.",
            remedy="Choose another --port, or --host.",
        ) from None
