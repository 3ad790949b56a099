"""Word files and books in a few lines, as small as their formats allow."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

_OFFICE = "http://schemas.openxmlformats.org"
_RELATION = f"{_OFFICE}/officeDocument/2006/relationships"
_TYPES = (
    f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
_STYLES = "".join(
    f'<w:style w:type="paragraph" w:styleId="{name.replace(" ", "")}"><w:name w:val="{name}"/></w:style>'
    for name in ("Title", "heading 1", "heading 2")
)
_HIDDEN_STYLE = (
    '<w:style w:type="character" w:styleId="Ghost"><w:name w:val="Ghost"/>'
    "<w:rPr><w:vanish/></w:rPr></w:style>"
)
_LEVELS = "".join(
    f'<w:abstractNum w:abstractNumId="{number}"><w:lvl w:ilvl="0"><w:numFmt w:val="{kind}"/></w:lvl>'
    f'<w:lvl w:ilvl="1"><w:numFmt w:val="{kind}"/></w:lvl></w:abstractNum>'
    for number, kind in enumerate(("bullet", "decimal"))
) + "".join(
    f'<w:num w:numId="{number + 1}"><w:abstractNumId w:val="{number}"/></w:num>'
    for number in range(2)
)


def make_zip(members: Mapping[str, str | bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def run(text: str, properties: str = "") -> str:
    """A run of a Word file."""
    rest = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{rest}<w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str, style: str = "", numbering: tuple[int, int] | None = None) -> str:
    """A paragraph of runs; numbering is the list (1: bullets, 2: numbers) and the level."""
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if numbering is not None:
        number, level = numbering
        properties += f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
    return f"<w:p><w:pPr>{properties}</w:pPr>{content}</w:p>"


def make_docx(body: str, *, document: str = "document.xml", **more: str) -> bytes:
    """A Word file with this body; `more` are parts of the folder word, by names without .xml."""

    def root(tag: str, content: str) -> str:
        return f'<w:{tag} xmlns:w="{_OFFICE}/wordprocessingml/2006/main">{content}</w:{tag}>'

    targets = {"styles": "styles", "numbering": "numbering", "footnotes": "footnotes"}
    relations = "".join(
        f'<Relationship Id="r{at}" Type="{_RELATION}/{kind}" Target="{target}.xml"/>'
        for at, (kind, target) in enumerate(targets.items())
    )
    namespace = f'xmlns="{_OFFICE}/package/2006/relationships"'
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": f'<Relationships {namespace}><Relationship Id="r" '
        f'Type="{_RELATION}/officeDocument" Target="word/{document}"/></Relationships>',
        f"word/_rels/{document}.rels": f"<Relationships {namespace}>{relations}</Relationships>",
        f"word/{document}": root("document", f"<w:body>{body}</w:body>"),
        "word/styles.xml": root("styles", _STYLES + _HIDDEN_STYLE),
        "word/numbering.xml": root("numbering", _LEVELS),
        "word/footnotes.xml": root("footnotes", more.pop("footnotes", "")),
        "word/media/image1.png": b"\x89PNG" + bytes(1000),
        **more,
    }
    return make_zip(members)


def make_epub(
    pages: Mapping[str, str] | Mapping[str, bytes] | Mapping[str, str | bytes],
    *,
    metadata: str = "<dc:title>The Book</dc:title><dc:creator>A. Person</dc:creator>",
    folder: str = "OEBPS/",
    spine: str | None = None,
    **more: str,
) -> bytes:
    """A book of these pages; `more` are further members of META-INF.

    The order of reading is that of the pages, unless a spine says otherwise.
    """
    manifest = "".join(
        f'<item id="p{at}" href="{name}" media-type="application/xhtml+xml"/>'
        for at, name in enumerate(pages)
    )
    if spine is None:
        spine = '<itemref idref="n"/>' + "".join(
            f'<itemref idref="p{at}"/>' for at, _ in enumerate(pages)
        )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<metadata>{metadata}</metadata><manifest>{manifest}"
        '<item id="n" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        '<item id="c" href="a.css" media-type="text/css"/></manifest>'
        f"<spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        f'<rootfile full-path="{folder}content.opf"/></rootfiles></container>'
    )
    return make_zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            f"{folder}content.opf": package,
            f"{folder}nav.xhtml": "<html><body>Contents</body></html>",
            **{f"{folder}{name.replace('%20', ' ')}": page for name, page in pages.items()},
            **{f"META-INF/{name}.xml": content for name, content in more.items()},
        }
    )
