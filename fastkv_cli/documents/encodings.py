"""Detect the encoding of bytes: byte order marks, zero bytes, UTF-8, legacy encodings."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

MAX_CONTROL_SHARE = 0.05
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1b"))
_SAMPLE_BYTES = 256 * 1024  # a multiple of 4
_MARKS = (  # UTF-32 first: its little-endian mark starts with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Encodings in use, apart from those of Latin letters.
_PAIRS = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949")
_OTHERS = (
    *("cp1251", "koi8_r", "koi8_u", "iso8859_5", "cp866", "cp1253", "iso8859_7", "cp1255"),
    *("iso8859_8", "cp1256", "cp874"),
)
# For Latin letters, the likeliest first, with the letters each language adds to a to z.
_LATIN = {
    "cp1252": (
        *("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúüªº", "àáâãçéêíóôõúüªº", "àèéìíîòóù", "åäöé"),
        *("æøåé", "áæðéíóöúýþ", "àáèéëïíóöüç", "äöõüšž"),
    ),
    "cp1250": (
        *("áéíóöőúüű", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž"),
        *("čćđšž", "čšž", "ăâîşţ"),
    ),
    "iso8859_2": ("áéíóöőúüű", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ăâîşţ"),
    "cp1254": ("çğıiöşüâîû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž"),
}
_ACCENTED = re.compile(
    r"(?<=[a-z])[^\x00-\x7f‘’“”«»–—…•€]|[^\x00-\x7f‘’“”«»–—…•€](?=[a-z])", re.IGNORECASE
)
_ISO_2022_JP = re.compile(rb"\x1b\$[@B](?:[!-~]{2})+\x1b\([BJ]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_COMMON_HAN = frozenset(
    "的一是不了在人有我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于"
    "着下自之年过過发發后後作里裡用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天"
    "分还還进進好小部其些主样樣理心本前开開但因只从從想实實日者意无無力它与與长長文件時間使数數请請您名字"
    "，。、：；？！「」（）《》・ー"
)
_DISPLAY = {
    "cp1252": "Windows-1252",
    "gb18030": "GB18030",
    "cp932": "Shift JIS",
    "big5hkscs": "Big5",
}
# What software means by these names: successors of the older sets that contain all of them.
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


def display_name(encoding: str) -> str:
    """An encoding's display name."""
    return _DISPLAY.get(encoding, encoding.upper().replace("_", "-"))


def superset(encoding: str) -> str:
    """The codec to decode an encoding with; the name must be one that Python knows."""
    name = codecs.lookup(encoding).name
    return _SUPERSETS.get(name, name)


def encoding_of_mark(data: bytes) -> str | None:
    """The encoding named by a byte order mark at the start.

    None without a mark, or if the rest is not text in that encoding: other file types may begin
    with the same two bytes.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            sample = data[len(mark) : len(mark) + _SAMPLE_BYTES].decode(encoding, "replace")
            if _odd_share(sample) < 0.05:
                return encoding
    return None


def unmarked_wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, detected by spaces and line ends; None if neither."""
    num_zeros = data.count(0)
    looks_like_text = num_zeros < 0.01 * len(data) and control_share(data) < MAX_CONTROL_SHARE
    if not num_zeros or (looks_like_text and is_mostly_utf8(data)):
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


def control_share(data: bytes) -> float:
    """The share of bytes that are control characters, which ASCII-based text does not hold."""
    return 1 - len(data.translate(None, _CONTROLS)) / max(1, len(data))


def escaped_encoding(data: bytes) -> str | None:
    """ISO-2022-JP, which is ASCII with escape sequences; None if it is not."""
    return "iso2022_jp" if _ISO_2022_JP.search(data[:_SAMPLE_BYTES]) else None


def is_mostly_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8, tolerating errors in up to a tenth of what is not ASCII.

    A single error must not switch to another encoding, in which every other letter is wrong.
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
    """The likeliest legacy encoding; None if none fits.

    Chinese, Japanese and Korean encodings are judged by the decoded text, as hardly any other bytes
    decode to common characters of these languages. For the others, charset-normalizer chooses.
    Its close candidates that differ in a few letters are told apart by the letters that each
    language uses; what is still undecided is taken as Windows-1252, by far the commonest.
    """
    sample = data[:_SAMPLE_BYTES]
    if len(data) > len(sample):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    runs = [len(match[0]) for match in _HIGH_RUN.finditer(sample)]
    num_high = sum(runs)
    is_paired = sum(n for n in runs if n % 2 == 0) > 0.95 * num_high
    is_dense = num_high > 0.2 * len(sample)
    share, likeliest = max((_east_asian_share(sample, encoding), encoding) for encoding in _PAIRS)
    if (is_dense and share > (0.05 if is_paired else 0.1)) or (num_high > 20 and share > 0.3):
        return likeliest
    # Tables and markup look messy to it; valid byte pairs are evidence enough to allow more mess.
    matches = _matches(sample, 0.2) or (_matches(sample, 0.4) if is_paired else [])
    if not is_dense:
        matches = [match for match in matches if match.encoding not in _PAIRS]
    if not matches or matches[0].encoding in _LATIN:
        return _latin_encoding(sample) if num_high < 0.3 * len(sample) else None
    close = [match for match in matches if match.chaos <= matches[0].chaos + 0.02]
    return max(close, key=lambda match: match.coherence).encoding


def _matches(sample: bytes, threshold: float) -> list[CharsetMatch]:
    """charset-normalizer's candidates, best first; UTF-16 and UTF-32 are excluded before."""
    from charset_normalizer import from_bytes

    candidates = [*_PAIRS, *_LATIN, *_OTHERS]
    return list(
        from_bytes(sample, threshold=threshold, preemptive_behaviour=False, cp_isolation=candidates)
    )


def _latin_encoding(sample: bytes) -> str:
    """The encoding of Latin letters that leaves the fewest letters outside a single language.

    A symbol inside a word counts as a letter that no language has.
    """
    best, best_share = "", -1.0
    for encoding, languages in _LATIN.items():
        text = sample.decode(encoding, "replace")
        found = Counter(match[0].lower() for match in _ACCENTED.finditer(text))
        num_known = max(sum(found[letter] for letter in letters) for letters in languages)
        share = num_known / found.total() if found else 1.0
        if share > best_share + 0.01:
            best, best_share = encoding, share
    return best


def _east_asian_share(sample: bytes, encoding: str) -> float:
    """The share of the non-ASCII text that is common in its language; 0 if it does not decode.

    In the wrong one of these encodings, a text decodes to a mixture of rare characters.
    """
    text = sample.decode(encoding, "replace")
    counts = Counter(c for c in text if c > "\x7f")
    total = max(1, counts.total())
    if counts[_REPLACEMENT] > 0.002 * total + 1:
        return 0.0
    hangul = sum(n for c, n in counts.items() if "\uac00" <= c <= "\ud7a3") / total
    kana = sum(n for c, n in counts.items() if "\u3040" <= c <= "\u30ff") / total
    common = sum(n for c, n in counts.items() if c in _COMMON_HAN) / total
    return max(hangul if hangul > 0.8 else 0.0, kana + common if kana > 0.2 else common)


def _odd_share(text: str) -> float:
    """The share of characters not found in texts: unassigned, private, controls, U+FFFD."""
    odd = sum(
        n
        for c, n in Counter(text).items()
        if c == _REPLACEMENT
        or (c not in "\t\n\f\r" and unicodedata.category(c) in {"Cn", "Co", "Cc", "Cs"})
    )
    return odd / max(1, len(text))
