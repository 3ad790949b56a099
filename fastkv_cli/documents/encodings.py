"""Which encoding bytes are in: marks, zero bytes, UTF-8, and guesses for legacy encodings."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

_SAMPLE_BYTES = 256 * 1024  # a multiple of 4
_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MULTI_BYTE = re.compile(r"gb|big5|cp9(?:32|36|49|50)|euc|shift|johab|hz")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_COMMON_HAN = frozenset("的一是不了在人有我他这這中大来來上个個国國和也子时時，。、：；「」（）")
_DISPLAY = {"cp1252": "Windows-1252", "gb18030": "GB18030", "cp932": "Shift JIS", "big5": "Big5"}
# What software means by these names: the older sets' successors, which hold all of them.
_SUPERSETS = {
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "tis-620": "cp874",
}


def shown(encoding: str) -> str:
    """An encoding's name for people."""
    return _DISPLAY.get(encoding, encoding.upper().replace("_", "-"))


def superset(encoding: str) -> str:
    """The codec to read an encoding with; it must be one that Python knows."""
    name = codecs.lookup(encoding).name
    return _SUPERSETS.get(name, name)


def encoding_of_mark(data: bytes) -> str | None:
    """The encoding that a byte order mark at the start names.

    None without a mark, or where what follows is not text in that encoding: other files may
    begin with the same two bytes.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            sample = data[len(mark) : len(mark) + _SAMPLE_BYTES].decode(encoding, "replace")
            if _odd_share(sample) < 0.05:
                return encoding
    return None


def unmarked_wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by its blanks and line ends; None if it is neither."""
    num_zeros = data.count(0)
    if not num_zeros or (num_zeros < 0.01 * len(data) and is_mostly_utf8(data)):
        return None
    candidates = []
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        width = 4 if "32" in encoding else 2
        sample = data[:_SAMPLE_BYTES]
        text = sample[: len(sample) // width * width].decode(encoding, "replace")
        num_blanks = sum(map(text.count, " \n"))
        if num_blanks > 0.002 * len(text) and _odd_share(text) < 0.02:
            candidates.append((num_blanks, encoding))
    return max(candidates)[1] if candidates else None


def is_mostly_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8, up to a tenth of what is not ASCII.

    One slip in a file does not make it another encoding, in which all its letters would be wrong.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        num_bad = text.count(_REPLACEMENT)
        num_good = len(text) - len(text.encode("ascii", "ignore")) - num_bad
        return num_bad * 10 <= num_good
    return True


def guess_legacy_encoding(data: bytes) -> str | None:
    """The legacy encoding that charset-normalizer finds likeliest; None if nothing fits.

    Two things are added to its judgement. Ties between relatives, which short texts leave open,
    go to Windows-1252, by far the commonest. And where high bytes come in pairs, as in Chinese
    and Korean, a multi-byte encoding that decodes without error goes before a single-byte one,
    in which any bytes decode.
    """
    sample = data[:_SAMPLE_BYTES]
    if len(data) > len(sample):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    runs = [len(match[0]) for match in _HIGH_RUN.finditer(sample)]
    num_high = sum(runs)
    paired = sum(n for n in runs if n % 2 == 0) > 0.95 * num_high
    # Tables and markup look messy to it; valid pairs are evidence enough to allow for more mess.
    matches = _matches(sample, 0.2) or (_matches(sample, 0.4) if paired else [])
    multi_byte = [match for match in matches if _MULTI_BYTE.match(match.encoding)]
    if paired and multi_byte:
        return max(multi_byte, key=_east_asian_share).encoding
    if sum(1 for n in runs if n == 1) > 0.5 * len(runs):  # lone accents in Latin letters
        matches = [match for match in matches if match not in multi_byte]
    if not matches:
        return "cp1252" if num_high < 0.3 * len(sample) else None
    best = matches[0]
    for match in matches:
        is_tie = match.chaos <= best.chaos + 0.01 and match.coherence >= best.coherence - 0.001
        if is_tie and "cp1252" in match.could_be_from_charset:
            return "cp1252"
    return best.encoding


def _matches(sample: bytes, threshold: float) -> list[CharsetMatch]:
    """charset-normalizer's candidates, best first; UTF-16 and the like were dealt with before."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample, threshold=threshold, preemptive_behaviour=False)
    return [match for match in found if not match.encoding.startswith("utf")]


def _east_asian_share(match: CharsetMatch) -> float:
    """How much of the text, beyond ASCII, is what its language would hold most.

    Read in the wrong one of these encodings, a text is a mixture of rare characters.
    """
    counts = Counter(c for c in str(match) if c > "\x7f")
    total = max(1, sum(counts.values()))
    hangul = sum(n for c, n in counts.items() if "\uac00" <= c <= "\ud7a3") / total
    kana = sum(n for c, n in counts.items() if "\u3040" <= c <= "\u30ff") / total
    common = sum(n for c, n in counts.items() if c in _COMMON_HAN) / total
    return max(hangul if hangul > 0.8 else 0.0, kana if kana > 0.2 else 0.0, common)


def _odd_share(text: str) -> float:
    """The share of characters that texts do not hold: unassigned, private, controls, U+FFFD."""
    odd = sum(
        n
        for c, n in Counter(text).items()
        if c == _REPLACEMENT
        or (c not in "\t\n\f\r" and unicodedata.category(c) in {"Cn", "Co", "Cc", "Cs"})
    )
    return odd / max(1, len(text))
