"""TLS for client programs whose libpq has none, such as those of the embedded package.

A socket in a private folder takes the program's connections in the clear; a thread carries them on to the server
through TLS, checked as libpq's sslmode says. The programs then need no version of the distribution's.
"""

from __future__ import annotations

import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from legal_store.errors import ServerUnavailableError

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL's protocol: the length, and the code that asks for TLS
_ASKS_FOR_SASL = struct.pack("!i", 10)
_BOUND_TO_CHANNEL = b"SCRAM-SHA-256-PLUS\0"
_CHUNK = 1 << 18
_CONNECT_SECONDS = 30
_ABOUT_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "hostaddr", "channel_binding")


@contextmanager
def tunnel(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield parameters that reach the same server through a Unix socket, while the block runs.

    Parameters that need no TLS are yielded as they are. Raises ServerUnavailableError when the server offers no
    TLS, or its certificate is not the one that sslmode demands.
    """
    if not needs_tls(parameters):
        yield parameters
        return
    _connect(parameters).close()  # an error now is clearer than one in the program
    with tempfile.TemporaryDirectory(prefix="ls-") as folder:
        port = int(parameters.get("port") or 5432)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(Path(folder) / f".s.PGSQL.{port}"))
        listener.listen()
        acceptor = threading.Thread(target=_accept, args=(listener, parameters), daemon=True)
        acceptor.start()
        try:
            kept = {name: value for name, value in parameters.items() if name not in _ABOUT_TLS}
            yield {**kept, "host": folder, "port": port}
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            acceptor.join()


def needs_tls(parameters: dict[str, Any]) -> bool:
    """Say whether libpq would ask for TLS and not do without."""
    over_tcp = not str(parameters.get("host", "/")).startswith(("/", "@"))
    return over_tcp and parameters.get("sslmode", "prefer") in ("require", "verify-ca", "verify-full")


def _accept(listener: socket.socket, parameters: dict[str, Any]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # closed: the block has ended
            return
        threading.Thread(target=_carry, args=(client, parameters), daemon=True).start()


def _carry(client: socket.socket, parameters: dict[str, Any]) -> None:
    with client:
        try:
            server = _connect(parameters)
        except ServerUnavailableError:
            return
        with server:
            with suppress(OSError):
                _begin(client, server)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _begin(client: socket.socket, server: socket.socket) -> None:
    """Pass on the start of a session, without the offer to bind the password to a channel.

    A client that sees no TLS takes that offer for an attack. The password stays protected by SCRAM, and the
    channel by the TLS that this tunnel checks.
    """
    length = _exactly(client, 4)
    server.sendall(length + _exactly(client, struct.unpack("!i", length)[0] - 4))
    head = _exactly(server, 5)
    body = _exactly(server, struct.unpack("!i", head[1:])[0] - 4)
    if head[:1] == b"R" and body.startswith(_ASKS_FOR_SASL):
        body = body.replace(_BOUND_TO_CHANNEL, b"")
    client.sendall(head[:1] + struct.pack("!i", len(body) + 4) + body)


def _exactly(source: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = source.recv(size - len(content))
        if not piece:
            raise ConnectionError("the session ended while it began")
        content += piece
    return content


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(_CHUNK):
            target.sendall(content)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _connect(parameters: dict[str, Any]) -> ssl.SSLSocket:
    host = str(parameters["host"])
    address = (str(parameters.get("hostaddr") or host), int(parameters.get("port") or 5432))
    try:
        plain = socket.create_connection(address, timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise _failure(parameters, str(error)) from error
    try:
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise _failure(parameters, "the server offers no TLS")
        secured = _context(parameters).wrap_socket(plain, server_hostname=host)
        secured.settimeout(None)
    except OSError as error:  # ssl.SSLError among them
        plain.close()
        raise _failure(parameters, str(error)) from error
    except ServerUnavailableError:
        plain.close()
        raise
    return secured


def _context(parameters: dict[str, Any]) -> ssl.SSLContext:
    """Return what libpq's sslmode stands for: `require` with a root certificate checks it, as verify-ca does."""
    root, mode = parameters.get("sslrootcert"), parameters["sslmode"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    if root == "system":
        context.check_hostname = True
        context.load_default_certs()
    elif root or mode != "require":
        context.load_verify_locations(root or Path.home() / ".postgresql" / "root.crt")
    else:
        context.verify_mode = ssl.CERT_NONE
    if parameters.get("sslcert"):
        context.load_cert_chain(parameters["sslcert"], parameters.get("sslkey"), parameters.get("sslpassword"))
    return context


def _failure(parameters: dict[str, Any], why: str) -> ServerUnavailableError:
    from legal_store.database.target import describe_target

    return ServerUnavailableError(
        f"Cannot connect to {describe_target(parameters)} with TLS: {why.rstrip('.')}.",
        remedy="Check host, port, sslmode and sslrootcert; see docs/backup.md for managed hosts.",
    )
