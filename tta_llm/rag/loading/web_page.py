"""Read a page of the web as a document."""

from __future__ import annotations

import asyncio
import codecs
import ssl
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from tta_llm.core._tasks import wait_out
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.loaders.registry import reader_for
from tta_llm.rag.loading.web_address import networks
from tta_llm.rag.loading.web_fetch import Fetch, Fetched, FetchLimits, Resolver, resolve_host
from tta_llm.rag.loading.web_target import shown

__all__ = ["read_web_page"]

_ENDINGS = {
    "application/jsonl": ".jsonl",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/x-ndjson": ".jsonl",
    "application/xhtml+xml": ".xhtml",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/tab-separated-values": ".tsv",
}
# What servers say of files whose type they don't know.
_VAGUE = ("", "application/octet-stream", "binary/octet-stream", "text/plain")


async def read_web_page(
    url: str,
    *,
    max_bytes: int = 20_000_000,
    timeout_seconds: float = 30.0,
    max_redirects: int = 5,
    allow: Iterable[str] = (),
    resolve: Resolver = resolve_host,
    tls: ssl.SSLContext | None = None,
) -> Document:
    """Fetch a page and read it as its server says what it is; its `path` is the final address.

    Only public addresses are asked: an address that comes from a user or from another page must
    not reach what only this machine can. Each redirect is checked anew. A proxy that the
    environment names is not used.

    Args:
        url: An http or https address.
        max_bytes: The most bytes of the page, packed and unpacked.
        timeout_seconds: How long it may take in all, but for the system's own look-up of the name.
        max_redirects: How many redirects are followed.
        allow: Networks that may be asked though they are not public, such as `10.1.0.0/16`.
        resolve: Gives the addresses of a host and port, in place of the system.
        tls: How the server's certificate is verified, where the system's authorities won't do.

    Raises:
        DocumentError: The page can't be had or read; the message names it and says why.
        ValueError: What is allowed is not a network.

    Example:
        ```python
        import asyncio
        from tta_llm.errors import DocumentError
        from tta_llm.rag import read_web_page

        try:
            asyncio.run(read_web_page("http://127.0.0.1/admin"))
        except DocumentError as error:
            assert "not a public address" in str(error)
        ```
    """
    limits = FetchLimits(max_bytes, timeout_seconds, max_redirects)
    tls = tls or ssl.create_default_context()
    fetch = Fetch(url, limits, allow=networks(allow), resolve=resolve, tls=tls)
    try:
        page = await _fetched(fetch)
        return await finish_in_thread(_read, page)  # type: ignore[no-any-return]
    except DocumentError as error:
        raise DocumentError(f"{shown(url)} {error}") from error.__cause__


async def _fetched(fetch: Fetch) -> Fetched:
    work = asyncio.ensure_future(finish_in_thread(fetch.run))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        fetch.stop()
        await wait_out(work)
        raise


def _read(page: Fetched) -> Document:
    reader = reader_for(_ending(page))
    if reader is None:
        raise DocumentError(f"is of the type {page.media_type or 'unknown'}, which is not read")
    return reader(page.url, _marked(page))


def _ending(page: Fetched) -> str:
    if page.media_type not in _VAGUE:
        return ".json" if page.media_type.endswith("+json") else _ENDINGS.get(page.media_type, "")
    ending = PurePosixPath(urlsplit(page.url).path).suffix
    if page.media_type == "text/plain" and reader_for(ending) is None:
        return ".txt"
    return ending


def _marked(page: Fetched) -> bytes:
    """The data in UTF-8 with a mark, where the server named the encoding of a text."""
    if page.charset is None or page.data.startswith((codecs.BOM_UTF8, b"\xff\xfe", b"\xfe\xff")):
        return page.data
    try:
        return codecs.BOM_UTF8 + page.data.decode(page.charset).encode()
    except (LookupError, UnicodeError):
        return page.data
