"""A page of the web is read within limits, and only from where anyone may ask."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tta_llm.errors import DocumentError
from tta_llm.rag.loading.web_address import is_public, networks
from tta_llm.rag.loading.web_page import read_web_page

LOOPBACK = ["127.0.0.0/8"]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


HTML = "Content-Type: text/html"


@contextmanager
def serving(
    reply: Callable[[str, socket.socket], bytes | None], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that answers each request in turn until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), wire:
                wire = tls.wrap_socket(wire, server_side=True) if tls else wire
                head = b""
                while b"\r\n\r\n" not in head:
                    head += wire.recv(4096)
                if (data := reply(head.decode(), wire)) is not None:
                    wire.sendall(data)
                wire.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def page(data: bytes) -> Iterator[str]:
    with serving(lambda *_: data) as port:
        yield f"http://127.0.0.1:{port}/dir/page"


@pytest.mark.parametrize(
    "address",
    """0.0.0.0 127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
    100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 224.0.0.1 240.0.0.1
    255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1
    ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 2002:7f00:1:: 2001:0:53aa:64c:0:1:80ff:fffe
    64:ff9b::7f00:1 64:ff9b:1::7f00:1 2001:db8::1 3fff::1 100::1 name""".split(),
)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700:4700::1111"])
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_an_allowed_network_counts_as_public() -> None:
    assert is_public("10.0.0.7", allow=networks(["10.0.0.0/24"]))
    assert not is_public("10.0.1.7", allow=networks(["10.0.0.0/24"]))


async def test_a_page_is_read_under_its_final_address() -> None:
    def reply(head: str, _: socket.socket) -> bytes:
        if head.startswith("GET /old"):
            return answer(b"", "Location: /new?a=1#part", status="302 Found")
        return answer(b"<title>Lamp</title><p>It shines.</p>", HTML)

    with serving(reply) as port:
        document = await read_web_page(f"http://127.0.0.1:{port}/old", allow=LOOPBACK)
        assert document.path == f"http://127.0.0.1:{port}/new?a=1"
    assert (document.title, document.text) == ("Lamp", "It shines.")


@pytest.mark.parametrize(
    ("media_type", "path", "body", "kind"),
    [
        ("text/html", "a", b"<p>text</p>", "html"),
        ("text/plain", "a", b"text", "text"),
        ("text/plain", "a.md", b"text", "markdown"),
        ("application/json", "a", b'{"a": 1}', "json"),
        ("application/ld+json", "a", b'{"a": 1}', "json"),
        ("text/csv; charset=utf-8", "a", b"a,b\n1,2\n", "csv"),
        ("application/octet-stream", "a.csv?x=1", b"a,b\n1,2\n", "csv"),
    ],
)
async def test_the_content_type_decides_the_reader(
    media_type: str, path: str, body: bytes, kind: str
) -> None:
    with serving(lambda *_: answer(body, f"Content-Type: {media_type}")) as port:
        url = f"http://127.0.0.1:{port}/{path}"
        assert (await read_web_page(url, allow=LOOPBACK)).kind == kind


async def test_the_encoding_that_the_server_names_is_used() -> None:
    with page(answer("<p>café</p>".encode("latin-1"), f"{HTML}; charset=latin-1")) as url:
        assert (await read_web_page(url, allow=LOOPBACK)).text == "café"


async def test_a_chunked_and_a_packed_page_are_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    with page(chunked + b"4\r\nIt s\r\n6\r\nhines.\r\n0\r\n\r\n") as url:
        assert (await read_web_page(url, allow=LOOPBACK)).text == "It shines."
    with page(answer(gzip.compress(b"<p>It shines.</p>"), HTML, "Content-Encoding: gzip")) as url:
        assert (await read_web_page(url, allow=LOOPBACK)).text == "It shines."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (answer(b"no", HTML, status="404 Not Found"), "status 404"),
        (answer(b"\x89PNG", "Content-Type: image/png"), "type image/png, which is not read"),
        (answer(b"?", HTML, "Content-Encoding: br"), r"packed in a way .* \(br\)"),
        (answer(b"?", HTML, "Content-Encoding: gzip"), "packed wrongly"),
        (answer(b"", HTML), "is empty"),
        (answer(b"", status="302 Found"), "to nowhere"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "breaks off"),
        (b"what?\r\n\r\n", "no valid answer"),
        (answer(b"x" * 2_000_000, HTML), "larger than 1 MB"),
        (answer(gzip.compress(bytes(9_000_000)), HTML, "Content-Encoding: gzip"), "larger than 1"),
    ],
)
async def test_what_is_no_page_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with page(data) as url, pytest.raises(DocumentError, match=f"dir/page .*{reason}"):
        await read_web_page(url, allow=LOOPBACK, max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "no http"),
        ("ftp://example.com/a", "no http"),
        ("http:///a", "no http"),
        ("http://user:word@example.com/", "user name"),
        ("http://example.com:99999/", "not a valid address"),
        ("http://example.com/\r\nX: y", "control character"),
        ("http://127.0.0.1/", "not a public address"),
        ("http://[::ffff:127.0.0.1]/", "not a public address"),
        ("http://0x7f.1/", "not a public address"),
    ],
)
async def test_an_address_that_must_not_be_asked_is_refused(url: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason) as caught:
        await read_web_page(url, resolve=lambda host, _: [_as_the_system(host)])
    assert "word" not in str(caught.value).split("user name")[0]


def _as_the_system(host: str) -> str:
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


async def test_a_host_with_one_private_address_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"leads to 10\.0\.0\.1"):
        await read_web_page("http://a.test/", resolve=lambda *_: ["8.8.8.8", "10.0.0.1"])


async def test_each_address_of_a_host_is_tried() -> None:
    with serving(lambda *_: answer(b"<p>text</p>", HTML)) as port:
        url = f"http://two.test:{port}/"
        both = ["127.0.0.9", "127.0.0.1"]
        document = await read_web_page(url, allow=LOOPBACK, resolve=lambda *_: both)
        assert document.text == "text"
    with pytest.raises(DocumentError, match="refused"):
        await read_web_page(url, allow=LOOPBACK, resolve=lambda *_: both)


async def test_a_name_is_looked_up_once_and_the_address_kept() -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return next(answers)

    hosts: list[str] = []

    def reply(head: str, wire: socket.socket) -> bytes:
        hosts.append(head)
        return answer(b"<p>text</p>", HTML)

    with serving(reply) as port:
        url = f"http://rebind.test:{port}/"
        await read_web_page(url, allow=["127.0.0.1/32"], resolve=resolve)
        # The second time the name leads elsewhere, and is checked anew.
        with pytest.raises(DocumentError, match=r"leads to 127\.0\.0\.2"):
            await read_web_page(url, allow=["127.0.0.1/32"], resolve=resolve)
    assert asked == ["rebind.test", "rebind.test"]
    assert len(hosts) == 1 and f"Host: rebind.test:{port}" in hosts[0]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254, which is not a public"),
        ("http://127.0.0.2/", "not a public address"),
        ("file:///etc/passwd", "no http"),
        ("http://user@127.0.0.1/", "user name"),
        ("/page", "redirects more than 5 times"),
    ],
)
async def test_each_redirect_is_checked(place: str, reason: str) -> None:
    requests: list[str] = []

    def reply(head: str, _: socket.socket) -> bytes:
        requests.append(head)
        return answer(b"", f"Location: {place}", status="302 Found")

    with serving(reply) as port, pytest.raises(DocumentError, match=reason):
        await read_web_page(
            f"http://127.0.0.1:{port}/page",
            allow=["127.0.0.1/32"],
            resolve=lambda host, _: [host],
        )
    assert len(requests) == (6 if place == "/page" else 1)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", answer(b"", HTML)[:-3]])
async def test_a_server_that_trickles_gets_no_more_time(part: bytes) -> None:
    def reply(_: str, wire: socket.socket) -> None:
        wire.sendall(part)
        for _each in range(1000):
            wire.sendall(b"a")
            time.sleep(0.01)

    with serving(reply) as port, pytest.raises(DocumentError, match=r"takes more than 0\.2 s"):
        await read_web_page(f"http://127.0.0.1:{port}/", allow=LOOPBACK, timeout_seconds=0.2)


async def test_a_cancelled_read_ends_at_once() -> None:
    begun, over = threading.Event(), threading.Event()

    def reply(_: str, wire: socket.socket) -> None:
        begun.set()
        over.wait(30)

    with serving(reply) as port:
        url = f"http://127.0.0.1:{port}/"
        task = asyncio.ensure_future(read_web_page(url, allow=LOOPBACK, timeout_seconds=1000))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=lamp.test -addext"
    names = ["subjectAltName=DNS:lamp.test", "-keyout", "-", "-out", "-"]
    try:
        made = subprocess.run([*command.split(), *names], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    file.write_bytes(made.stdout)
    return file


async def test_tls_verifies_the_name_and_not_the_address(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate))

    async def read(host: str, tls: ssl.SSLContext | None) -> str:
        url = f"https://{host}:{port}/"
        return (
            await read_web_page(url, allow=LOOPBACK, tls=tls, resolve=lambda *_: ["127.0.0.1"])
        ).text

    with serving(lambda *_: answer(b"<p>text</p>", HTML), server) as port:
        assert await read("lamp.test", client) == "text"
        for host, tls in (("other.test", client), ("lamp.test", None)):
            with pytest.raises(DocumentError, match=r"certificate verify failed|CERTIFICATE"):
                await read(host, tls)
