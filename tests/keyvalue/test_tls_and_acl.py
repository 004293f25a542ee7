"""A server that speaks TLS only and knows users with few rights."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from legal_store.cache import CacheManager
from legal_store.embedded.server import free_port
from legal_store.errors import ServerUnavailableError
from legal_store.sessions import SessionManager
from tests.keyvalue.servers import documented_rights, program, running, wait_for

SECRET = "a secret of at least thirty-two characters"
PASSWORD = "w0rd-0f-the-service"
FIRM = uuid.UUID(int=1)

USERS = (
    f"user service on >{PASSWORD} {' '.join(documented_rights())}",
    f"user reader on >{PASSWORD} ~cache:* resetchannels -@all +get +mget +@connection",
    "user default off",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    path = program("redis-7")
    if path is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    folder = tmp_path_factory.mktemp("tls")
    _certificates(folder)
    (folder / "users.acl").write_text("\n".join(USERS) + "\n")
    options = (
        "--tls-cert-file", str(folder / "server.crt"), "--tls-key-file", str(folder / "server.key"),
        "--tls-ca-cert-file", str(folder / "ca.crt"), "--tls-auth-clients", "no",
        "--aclfile", str(folder / "users.acl"),
    )  # fmt: skip
    tls_port = free_port()
    with running(path, folder, "--tls-port", str(tls_port), *options, port=0, plain=False):
        wait_for(tls_port)
        yield tls_port, folder


def _certificates(folder: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    openssl(*new[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.crt", "-days", "2", "-extfile", "names",
    )  # fmt: skip


def url(server: tuple[int, Path], user: str = "service", password: str = PASSWORD, trusted: bool = True) -> str:
    port, folder = server
    authority = f"?ssl_ca_certs={folder}/ca.crt" if trusted else ""
    return f"rediss://{user}:{password}@127.0.0.1:{port}/0{authority}"


def test_the_recommended_rights_suffice_for_everything(server: tuple[int, Path]) -> None:
    cache, sessions = CacheManager(url(server), ttl=300), SessionManager(url(server), secret=SECRET)
    assert cache.set_many({"case:1": 1, "case:2": 2}, firm=FIRM)
    assert cache.get_or_load("case:3", lambda: 3, firm=FIRM) == 3
    assert cache.get_many(["case:1", "case:2", "case:3"], firm=FIRM) == {"case:1": 1, "case:2": 2, "case:3": 3}
    assert cache.fence("case:1", firm=FIRM)
    assert cache.invalidate("case:[12]", firm=FIRM).removed == 2
    assert cache.delete("case:3", firm=FIRM)
    created = sessions.create({"userId": 1, "firmId": "f"})
    sessions.set("chosen", {"userId": 1})
    assert sessions.update(created.id, {"role": "Partner"}).id != created.id
    assert sessions.refresh("chosen")
    assert sessions.list_user_sessions(1)
    assert sessions.delete_user_sessions(1)
    assert sessions.delete_firm_sessions("f")
    assert sessions.cleanup()
    assert cache.stats().total_keys >= 0
    assert cache.health().status == sessions.health().status == "pass"
    cache.clear()
    sessions.delete_all_sessions()
    cache.close()
    sessions.close()


def test_a_user_without_rights_is_told_so_and_the_cache_goes_on_missing(server: tuple[int, Path]) -> None:
    cache, sessions = CacheManager(url(server, "reader")), SessionManager(url(server, "reader"), secret=SECRET)
    assert cache.get_or_load("case:1", lambda: "loaded", firm=FIRM) == "loaded"
    assert not cache.set("case:1", 1, firm=FIRM)
    with pytest.raises(ServerUnavailableError, match="ACL user"):
        sessions.create({"userId": 1})
    assert not cache._store.breaker.is_open
    cache.close()
    sessions.close()


def test_a_wrong_password_is_told_without_showing_it(server: tuple[int, Path]) -> None:
    sessions = SessionManager(url(server, password="not-the-password"), secret=SECRET)
    with pytest.raises(ServerUnavailableError, match="user and password") as caught:
        sessions.get("x")
    assert "not-the-password" not in str(caught.value)
    sessions.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(server: tuple[int, Path]) -> None:
    sessions = SessionManager(url(server, trusted=False), secret=SECRET)
    with pytest.raises(ServerUnavailableError, match="certificate"):
        sessions.get("x")
    cache = CacheManager(url(server, trusted=False))
    assert cache.get("case:1", firm=FIRM) is None
    sessions.close()
    cache.close()
