"""The proxy of the fault tests does what it says: each fault is seen from a client's side."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.proxy import TcpProxy


@pytest.fixture(params=["tcp", "unix"])
def echo_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int] | str]:
    """A server that sends back what it gets, on TCP or on a Unix socket."""
    if request.param == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        address: tuple[str, int] | str = listener.getsockname()
    else:
        address = f"/tmp/echo-{id(request):x}.sock"
        Path(address).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()

    def echo(client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            while data := client.recv(4096):
                client.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield address
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    if isinstance(address, str):
        Path(address).unlink()


@pytest.fixture
def proxy(echo_server: tuple[str, int] | str) -> Iterator[TcpProxy]:
    with TcpProxy(echo_server) as opened:
        yield opened


def client_of(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=2)


def say(client: socket.socket, text: bytes = b"hello") -> bytes:
    client.sendall(text)
    return client.recv(4096)


def test_passes_bytes_both_ways(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client:
        assert say(client) == b"hello"
        assert proxy.open_links == 1


def test_drop_resets_open_connections_and_new_ones_work(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client, closing(client_of(proxy)) as other:
        say(client)
        proxy.drop()
        with pytest.raises(ConnectionError):
            assert say(client) == b""
            raise ConnectionError  # an orderly end is an end too
    with closing(client_of(proxy)) as other:
        assert say(other) == b"hello"


def test_refuse_turns_new_connections_away_until_healed(proxy: TcpProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        client_of(proxy)
    proxy.heal()
    with closing(client_of(proxy)) as client:
        assert say(client) == b"hello"


def test_blackhole_stalls_open_connections_and_healing_delivers(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client:
        say(client)
        proxy.blackhole()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(client, b"late")
        proxy.heal()
        client.settimeout(2)
        assert client.recv(4096) == b"late"


def test_only_the_next_connection_is_blackholed(proxy: TcpProxy) -> None:
    proxy.blackhole_next()
    with closing(client_of(proxy)) as stuck, closing(client_of(proxy)) as well:
        stuck.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(stuck)
        assert say(well) == b"hello"
        proxy.heal()
        stuck.settimeout(2)
        assert stuck.recv(4096) == b"hello"


def test_half_open_tells_the_client_nothing(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client:
        say(client)
        proxy.half_open()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(client)
        with closing(client_of(proxy)) as other:
            assert say(other) == b"hello"


def test_cut_after_ends_the_connection_within_an_answer(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client:
        proxy.cut_after(3)
        client.sendall(b"hello")
        got = b""
        with suppress(ConnectionError):
            while data := client.recv(4096):
                got += data
        assert len(got) <= 3


def test_delay_makes_answers_late(proxy: TcpProxy) -> None:
    with closing(client_of(proxy)) as client:
        proxy.delay = 0.3
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(client)
