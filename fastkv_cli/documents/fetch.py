"""Fetch one page or file from the web: with limits, and not from private networks.

The name is resolved once, and the connection is made to an address that was checked, so that no
second answer of the name server can lead elsewhere. Proxies and cookies are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ..config import ReadOptions
from ..errors import DocumentError, UsageError
from ..version import __version__
from .formats import PDF_SUFFIX, SUFFIXES
from .source import MAX_PDF_BYTES, MAX_TEXT_BYTES, holds_pdf_marker, label
from .verdict import reason

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CHUNK_BYTES = 2**16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SUFFIXES = {
    "application/json": ".json",
    "application/xhtml+xml": ".html",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/tab-separated-values": ".tsv",
    "text/vtt": ".vtt",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave.

    Attributes:
        data: the bytes.
        name: the address without query, ending in a suffix that tells the format if one is known.
        charset: the encoding that the server names; None if it names none.
        redirects: the addresses that it led to, in order.
    """

    data: bytes
    name: str
    charset: str | None
    redirects: tuple[str, ...]


def fetch(url: str, options: ReadOptions) -> Fetched:
    """Fetch an address.

    Args:
        url: beginning with http:// or https://.
        options: whether the network may be used, private addresses allowed, and the time limit.

    Raises:
        UsageError: when the network must not be used, or the address has a form that is not read.
        DocumentError: when it cannot be fetched, is too large, or takes too long.
    """
    if options.offline:
        raise UsageError(
            f"{label(url)} is on the web, and --offline opens no connection",
            "leave it out, or download the file and name that",
        )
    ends_at = time.monotonic() + options.extract_timeout_s
    redirects: list[str] = []
    while True:
        parts = _split(url)
        try:
            answer = _request(parts, options, ends_at)
        except (OSError, http.client.HTTPException, ssl.SSLError) as error:
            raise _failed(url, error, options) from error
        if isinstance(answer, bytes | Fetched):
            break
        target = urljoin(url, answer)
        if parts.scheme == "https" and urlsplit(target).scheme == "http":
            raise DocumentError(
                f"{label(url)} leads to {label(target)}, which is not encrypted",
                "name that address if you trust it",
            )
        redirects.append(label(target))
        if len(redirects) > _MAX_REDIRECTS:
            raise DocumentError(
                f"{label(url)} is redirected more than {_MAX_REDIRECTS} times", "check the address"
            )
        url = target
    return Fetched(answer.data, answer.name, answer.charset, tuple(redirects))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{label(url)} is no address ({reason(error)})", "check it") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{label(url)} is no address of a page", "it begins with https://")
    if parts.username is not None:
        raise UsageError(
            f"an address with a name and password in it is not fetched: {parts.hostname}",
            "download the file and name that",
        )
    return parts


def _request(parts: SplitResult, options: ReadOptions, ends_at: float) -> Fetched | str:
    """What an address gives, or where it is redirected to."""
    host = (parts.hostname or "").encode("idna").decode()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = _connect(host, port, options, ends_at)
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
        connection.request(
            "GET",
            urlunsplit(("", "", parts.path or "/", parts.query, "")),
            headers={
                "User-Agent": f"fastkv/{__version__}",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
        )
        link = connection.sock  # the connection gives it away with the answer
        answer = connection.getresponse()
        if answer.status in _REDIRECTS and (target := answer.getheader("Location")):
            return target
        if answer.status != http.client.OK:
            raise DocumentError(
                f"{label(parts.geturl())} answered {answer.status} {label(answer.reason)}",
                "check the address in a browser",
            )
        data = _read(answer, parts, link, ends_at)
    finally:
        connection.close()
    kind, charset = answer.headers.get_content_type(), answer.headers.get_content_charset()
    name = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if PurePosixPath(parts.path).suffix.lower() not in {PDF_SUFFIX, *SUFFIXES}:
        name += _SUFFIXES.get(kind, "")
    return Fetched(data, name, charset if kind.startswith("text/") else None, ())


def _read(
    answer: http.client.HTTPResponse, parts: SplitResult, link: socket.socket, ends_at: float
) -> bytes:
    data = bytearray()
    while True:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        piece = answer.read1(_CHUNK_BYTES)
        if not piece:
            return bytes(data)
        data += piece
        limit = MAX_PDF_BYTES if holds_pdf_marker(bytes(data[:1024])) else MAX_TEXT_BYTES
        if len(data) > limit:
            raise DocumentError(
                f"{label(parts.geturl())} is larger than {limit // 10**6:,} MB, the limit",
                "download it, and give the part that matters",
            )


def _connect(host: str, port: int, options: ReadOptions, ends_at: float) -> socket.socket:
    """Connect to the first address of a host that is allowed and answers."""
    found = dict.fromkeys(
        str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    allowed = [address for address in found if options.allow_local or _is_public(address)]
    if not allowed:
        raise DocumentError(
            f"{label(host)} is on a private network ({next(iter(found), 'no address')})",
            "add --allow-local if you trust it",
        )
    failure: OSError = OSError("no address")
    for address in allowed:
        try:
            return socket.create_connection(
                (address, port), timeout=max(ends_at - time.monotonic(), 0.01)
            )
        except OSError as error:
            failure = error
    raise failure


def _is_public(address: str) -> bool:
    """Whether an address is on the open internet, also inside one of another protocol."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


def _failed(url: str, error: Exception, options: ReadOptions) -> DocumentError:
    if isinstance(error, TimeoutError):
        return DocumentError(
            f"{label(url)} was not fetched within {options.extract_timeout_s:g} s",
            "allow more time with --extract-timeout, or download it",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return DocumentError(
            f"{label(url)} has a certificate that is not trusted ({error.verify_message})",
            "if you trust who signed it, name a file with their certificate in SSL_CERT_FILE",
        )
    why = (error.strerror if isinstance(error, OSError) else None) or reason(error)
    if isinstance(error, ssl.SSLError) and error.reason:
        why = f"TLS: {error.reason.replace('_', ' ').lower()}"
    return DocumentError(f"{label(url)} cannot be fetched ({why})", "check the address")
