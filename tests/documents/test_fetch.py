"""Documents from the web and out of archives: with limits, and never from where they must not."""

from __future__ import annotations

import ssl
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pdf_maker import make_pdf

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, fetch, load_document, names_documents
from fastkv_cli.documents.find import load_all
from fastkv_cli.errors import DocumentError, UsageError

PAGES: dict[str, tuple[str, bytes]] = {
    "/report.pdf": ("application/pdf", make_pdf(["words of a report"])),
    "/page": ("text/html; charset=koi8-r", "<p>Привет</p>".encode("koi8-r")),
    "/rows": ("text/csv", b"a,b\n1,2\n"),
    "/large": ("text/plain", b"x" * 3_000),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.path.startswith("/to"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to") or "/to")
            self.end_headers()
        elif self.path == "/slow":
            threading.Event().wait(3)
        elif path in PAGES:
            kind, data = PAGES[path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(data)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def load(url: str, **options: object) -> Document:
    return load_document(url, ReadOptions(allow_local=True, **options))  # type: ignore[arg-type]


def test_a_page_or_file_is_read_like_a_local_one(site: str) -> None:
    document = load(f"{site}/report.pdf?x=1#page=2")
    assert (document.kind, document.text) == ("PDF", "words of a report")
    assert document.path == f"{site}/report.pdf?x=1#page=2"
    page = load(f"{site}/page")
    assert (page.kind, page.text) == ("HTML", "Привет")
    assert load(f"{site}/rows").text == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    ((again,), _) = load_all([f"{site}/report.pdf"], ReadOptions(allow_local=True))
    assert again.text == document.text
    assert names_documents(f"{site}/report.pdf")
    assert not names_documents("https://example.org says what about this?")


def test_redirects_are_told_and_end(site: str) -> None:
    assert load(f"{site}/to/report.pdf").warnings == (f"redirected to {site}/report.pdf",)
    with pytest.raises(DocumentError, match="redirected more than 5 times"):
        load(f"{site}/to")


def test_no_private_address_without_leave(site: str) -> None:
    with pytest.raises(DocumentError, match=r"private network \(127.0.0.1\): add --allow-local"):
        load_document(f"{site}/report.pdf")
    for address in (
        "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1%eth0",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1",
    ):  # fmt: skip
        assert not fetch._is_public(address), address
    assert fetch._is_public("1.1.1.1")
    assert fetch._is_public("2606:4700::1111")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture
def safe_site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    server.server_close()


def test_only_trusted_certificates(
    safe_site: tuple[str, Path], site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, certificate = safe_site
    with pytest.raises(DocumentError, match=r"not trusted \(self-signed certificate\)") as caught:
        load(f"{address}/report.pdf")
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert load(f"{address}/report.pdf").text == "words of a report"
    with pytest.raises(DocumentError, match="which is not encrypted"):
        load(f"{address}/to{site}/report.pdf")
    with pytest.raises(DocumentError, match=r"cannot be fetched \(TLS: "):
        load(site.replace("http:", "https:"))


def test_limits_and_refusals(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentError, match="answered 404 Not Found"):
        load(f"{site}/none")
    with pytest.raises(UsageError, match="--offline opens no connection"):
        load(f"{site}/rows", offline=True)
    with pytest.raises(DocumentError, match=r"not fetched within 0.5 s"):
        load(f"{site}/slow", extract_timeout_s=0.5)
    with pytest.raises(UsageError, match="with a name and password") as caught:
        load(f"http://ann:secret@127.0.0.1:{site.rpartition(':')[2]}/rows")
    assert "secret" not in str(caught.value)
    monkeypatch.setattr(fetch, "MAX_TEXT_BYTES", 2_000)
    with pytest.raises(DocumentError, match="is larger than"):
        load(f"{site}/large")
    with pytest.raises(DocumentError, match="cannot be fetched"):
        load("http://127.0.0.1:9/x")
    with pytest.raises(
        DocumentError, match="no address that is fetched: give one that begins with"
    ):
        load_document("ftp://example.org/a.pdf")


def test_a_file_in_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("folder/report.pdf", make_pdf(["words of a report"]))
        packed.writestr("notes.md", "# Notes\n\nSome words.")
    archive.write_bytes(buffer.getvalue())
    document = load_document(f"{archive}!/folder/report.pdf")
    assert (document.kind, document.text) == ("PDF", "words of a report")
    assert load_document(f"{archive}!/notes.md").kind == "markdown"
    assert names_documents(f"{archive}!/notes.md")
    with pytest.raises(
        DocumentError, match=r"holds no file x.pdf: it holds folder/report.pdf, notes"
    ):
        load_document(f"{archive}!/x.pdf")
    with pytest.raises(DocumentError, match="does not exist"):
        load_document(f"{tmp_path / 'b.zip'}!/x.pdf")
    (tmp_path / "c.zip").write_bytes(buffer.getvalue()[:300])
    with pytest.raises(DocumentError, match="damaged or incomplete"):
        load_document(f"{tmp_path / 'c.zip'}!/x.pdf")
    (tmp_path / "d.zip").write_text("no archive")
    with pytest.raises(DocumentError, match=r"d.zip is no ZIP archive"):
        load_document(f"{tmp_path / 'd.zip'}!/x.pdf")
