"""Read mail (EML, MSG) and web pages saved as mail (MHTML)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.errors import CloseBoundaryNotFoundDefect
from email.message import EmailMessage, MIMEPart
from io import BytesIO
from typing import NamedTuple

from ...errors import DocumentError
from ..archive import refusing_damage
from ..html import decode_html, hidden_warning, html_to_text
from ..omissions import Note
from ..verdict import reason

_SHOWN = ("From", "To", "Cc", "Date")
_MAX_NAMED = 20
_COMPRESSED_RTF = 0x1009  # PidTagRtfCompressed, MS-OXPROPS 2.938


class _Attachment(NamedTuple):
    name: str
    data: bytes


def read_eml(
    data: bytes, name: str, encoding: str | None = None, *, attachments: bool = False
) -> tuple[str, tuple[Note, ...]]:
    """Read a mail: the headers that matter, its text, the names of its attachments.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Of parts that do not declare one.
        attachments: Whether to read the attachments, too.

    Returns:
        The text, and notes (hidden text, attachments that were not read).

    Raises:
        DocumentError: when it is damaged.
    """
    with refusing_damage(name):
        mail = _parse(data)
        headers = [(key, str(mail[key])) for key in _SHOWN if mail[key]]
        body = mail.get_body(("plain", "html"))
        text, notes = _text_of(body, name, encoding) if body is not None else ("", [])
        files = [_Attachment(_file_name(part), _content(part)) for part in mail.iter_attachments()]
        if any(isinstance(each, CloseBoundaryNotFoundDefect) for each in mail.defects):
            notes.append("the file ends early (an unfinished download?): parts may be missing")
    return _write(str(mail["Subject"] or ""), headers, text, files, notes, attachments)


def read_mhtml(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a saved web page: its first HTML part, as the page itself.

    Arguments, result and errors are those of `read_eml`.
    """
    with refusing_damage(name):
        mail = _parse(data)
        for part in mail.walk():
            if part.get_content_type() in {"text/html", "application/xhtml+xml"}:
                text, notes = _text_of(part, name, encoding)
                return text, tuple(notes)
    raise DocumentError(f"{name} holds no web page", "open it in a browser and save it again")


def read_msg(
    data: bytes, name: str, encoding: str | None = None, *, attachments: bool = False
) -> tuple[str, tuple[Note, ...]]:
    """Read an Outlook mail, with python-oxmsg; as `read_eml`.

    Raises:
        DocumentError: when it is damaged, or the office extra is not installed.
    """
    try:
        from oxmsg import Message
    except ImportError as error:
        raise DocumentError(
            f"{name} is an Outlook mail (MSG), which needs the office extra",
            "pip install 'fastkv-cli[office]'",
        ) from error
    with refusing_damage(name):
        mail = Message.load(BytesIO(data))
        recipients = "; ".join(f"{each.name} <{each.email_address}>" for each in mail.recipients)
        sent = mail.sent_date
        known = (("From", mail.sender), ("To", recipients), ("Date", str(sent) if sent else ""))
        notes: list[Note] = []
        text = mail.body or ""
        if not text and mail.html_body:
            page = html_to_text(mail.html_body)
            text, notes = page.text, [*hidden_warning(page.num_hidden), *page.notes()]
        elif not text and mail.properties.binary_prop_value(_COMPRESSED_RTF):
            notes.append("its text, which is in Outlook's own format only, was not read")
        files = [
            _Attachment(each.file_name or "unnamed", each.file_bytes or b"")
            for each in mail.attachments
        ]
        headers = [(key, value) for key, value in known if value]
    return _write(mail.subject or "", headers, text, files, notes, attachments, encoding)


def _parse(data: bytes) -> EmailMessage:
    mail = message_from_bytes(data, policy=policy.default)
    if not isinstance(mail, EmailMessage) or not mail.keys():
        raise ValueError("it has no headers")
    return mail


def _text_of(part: MIMEPart, name: str, encoding: str | None) -> tuple[str, list[Note]]:
    content = _content(part)
    if part.get_content_subtype() in {"html", "xhtml+xml"}:
        declared = encoding or part.get_content_charset()
        source, warnings = decode_html(content, name, declared if _is_known(declared) else None)
        page = html_to_text(source)
        return page.text, [*warnings, *hidden_warning(page.num_hidden), *page.notes()]
    declared = part.get_content_charset() or encoding or "utf-8"
    if _is_known(declared):
        return content.decode(declared, "replace"), []
    return content.decode("utf-8", "replace"), [f"no encoding is called {declared}: read as UTF-8"]


def _is_known(encoding: str | None) -> bool:
    try:
        b"x".decode(encoding or "", "replace")
    except (LookupError, ValueError):
        return False
    return bool(encoding)


def _content(part: MIMEPart) -> bytes:
    content = part.get_payload(decode=True)
    if isinstance(content, bytes):
        return content
    inner = part.get_payload()  # of a mail in a mail
    if isinstance(inner, list) and inner and not isinstance(inner[0], str):
        return bytes(inner[0].as_bytes())
    return b""


def _file_name(part: MIMEPart) -> str:
    if name := part.get_filename():
        return str(name)
    return "mail.eml" if part.get_content_type() == "message/rfc822" else "unnamed"


def _write(
    subject: str,
    headers: Sequence[tuple[str, str]],
    text: str,
    files: Sequence[_Attachment],
    notes: list[Note],
    reads_files: bool,
    encoding: str | None = None,
) -> tuple[str, tuple[Note, ...]]:
    parts = [f"# {' '.join(subject.split())}"] if subject else []
    parts.append("\n".join(f"{key}: {' '.join(value.split())}" for key, value in headers))
    parts.append(text.strip())
    if files:
        parts.append("Attachments: " + ", ".join(file.name for file in files[:_MAX_NAMED]))
    if files and not reads_files:
        number = "1 attachment was" if len(files) == 1 else f"{len(files):,} attachments were"
        notes.append(f"{number} not read: give --attachments")
    elif files:
        for part, more in _read_files(files, encoding):
            parts.append(part)
            notes += more
    return "\n\n".join(filter(None, parts)), tuple(notes)


def _read_files(
    files: Sequence[_Attachment], encoding: str | None
) -> Iterator[tuple[str, list[Note]]]:
    """Each attachment under its name; one that cannot be read becomes a note."""
    from .attachment import read_attachment

    for file in files:
        try:
            text, notes = read_attachment(file.name, file.data, encoding)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (the others are still wanted)
            why = error.message if isinstance(error, DocumentError) else reason(error)
            yield "", [f"attachment {file.name} was not read ({why})"]
            continue
        own = [f"{file.name}: {note}" if isinstance(note, str) else note for note in notes]
        yield f"## Attachment: {file.name}\n\n{text}", own
