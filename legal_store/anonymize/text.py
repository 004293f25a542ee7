"""How text is compared: without case, accents, invisible characters and punctuation, in every form it can be hidden in.

Checksums: CNP after Law 105/1996 (weights 279146358279, modulo 11), CUI after OG 75/2001 (weights 753217532), IBAN
after ISO 13616 (modulo 97).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

CELL = "\x01"  # stands between cells that are looked at together; no word holds it

# A pattern that begins with a set of characters is searched for by that set, many times faster than one that begins
# with a lookbehind, \b or a repetition: hence `x(?<!y.)` below for "an x that no y stands before".
_INVISIBLE = re.compile("[\u0300-\u036f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_WORD = re.compile(rf"[^\W_]+|{CELL}")
_NOT_WORD = re.compile(rf"[^\w{CELL}]+|_+")
_FOREIGN_MARK = re.compile(r"[^\x00-\x7f\w\s][^\x00-\x7f\w\s]*")
_MARKS = [chr(code) for code in range(128) if not chr(code).isalnum()]
_MARKS_TO_SPACES = str.maketrans({mark: " " for mark in _MARKS if mark != CELL})
_ONLY_DIGITS = str.maketrans({chr(code): None for code in range(128) if not chr(code).isdigit()})
_WITHOUT_MARKS = str.maketrans({mark: None for mark in _MARKS if mark != CELL})
_UUID = re.compile(r"[0-9a-fA-F][0-9a-fA-F]{7}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-][A-Za-z0-9+/_-]{7,}={0,2}")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_LOOKALIKES = str.maketrans("авекмнорстухіјѕ" + "ıłøđßæ", "abekmhopctyxijs" + "ilodsa")
_DIGIT_RUN = re.compile(r"\d(?<!\d\d)(?:[\s().\-/_]{0,3}\d){6,}(?!\d)")

EMAIL = re.compile(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
IBAN = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
CNP = re.compile(r"[1-9](?<!\d[1-9])\d{12}(?!\d)")
CUI = re.compile(r"R(?<!\wR)O ?(\d{2,10})\b")
PHONE = re.compile(r"(?<![\w.])(?:\+?\d{1,3}[ .\-]?)?(?:\(?0?\d{2,4}\)?[ .\-/]?)\d{3}[ .\-]?\d{3,4}(?!\w)")


class Recognised(NamedTuple):
    """A piece of text that is personal by its form: `kind` is email, iban, cnp, cui or phone."""

    kind: str
    start: int
    end: int
    text: str


def folded(text: str) -> str:
    """Return `text` in small letters, without accents and invisible characters, compatibility forms resolved."""
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text))
        text = _FOREIGN_MARK.sub(",", text)  # so that Romanian with its quotation marks is plain ASCII from here on
        if not text.isascii():
            return text.casefold().translate(_LOOKALIKES)
    return text.lower()


def words(folded_text: str) -> list[str]:
    """Return the words (letters and digits) of a folded text, and CELL between cells."""
    if folded_text.isascii():
        return folded_text.translate(_MARKS_TO_SPACES).split()
    return _WORD.findall(folded_text)


def each_word(folded_text: str) -> Iterator[str]:
    """Yield the words one by one, for who may need the first few only."""
    return (found.group() for found in _WORD.finditer(folded_text))


def squashed(folded_text: str) -> str:
    """Return the letters and digits of a folded text without anything between them, cells still apart."""
    if folded_text.isascii():
        return folded_text.translate(_WITHOUT_MARKS)
    return _NOT_WORD.sub("", folded_text)


def digits(text: str) -> str:
    """Return the digits in `text`, together."""
    return text.translate(_ONLY_DIGITS) if text.isascii() else "".join(filter(str.isdigit, text))


def digit_runs(text: str) -> set[str]:
    """Return the runs of seven or more digits, however they are grouped; phones by their last nine digits."""
    runs = (digits(run) for run in _DIGIT_RUN.findall(_UUID.sub(" ", text)))
    return {form for run in runs for form in (run, run[-9:])}


def readings(text: str, depth: int = 2) -> Iterator[str]:
    """Yield `text`, and what it says where it is percent-encoded, escaped for HTML or JSON, base64 or hexadecimal.

    Up to `depth` encodings within each other are undone: a bytea, shown in hexadecimal, may hold base64.
    """
    yield text
    if depth:
        for undone in _undone(text):
            if undone != text:
                yield from readings(undone, depth - 1)


def _undone(text: str) -> Iterator[str]:
    if "%" in text or "+" in text:
        yield unquote(text.replace("+", " "))
    if "&" in text:
        yield html.unescape(text)
    if "\\u" in text:
        yield _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text)
    tokens = dict.fromkeys(_ENCODED.findall(_UUID.sub(" ", text)))
    hidden = [decoded for token in tokens for decoded in _decoded(token)]
    if hidden:
        yield f" {CELL} ".join(hidden)


def recognised(text: str) -> list[Recognised]:
    """Return the e-mail addresses, IBANs, CNPs, CUIs and phone numbers in `text`, in order, none within another.

    Numbers with a checksum count only when it is right.
    """
    found: list[Recognised] = []
    amount = len(digits(text))
    for kind, mark, least_digits, pattern, right in _RECOGNISERS:
        for match in pattern.finditer(text) if mark in text and amount >= least_digits else ():
            free = all(match.end() <= other.start or match.start() >= other.end for other in found)
            if free and right(match.group()):
                found.append(Recognised(kind, match.start(), match.end(), match.group()))
    return sorted(found, key=lambda item: item.start)


def valid_cnp(text: str) -> bool:
    if not re.fullmatch(r"[1-9]\d{12}", text) or not 1 <= int(text[3:5]) <= 12 or not 1 <= int(text[5:7]) <= 31:
        return False
    rest = sum(int(digit) * int(weight) for digit, weight in zip(text, "279146358279", strict=False)) % 11
    return int(text[12]) == (1 if rest == 10 else rest)


def valid_cui(text: str) -> bool:
    number = digits(text)
    if not 2 <= len(number) <= 10:
        return False
    total = sum(int(digit) * int(weight) for digit, weight in zip(number[:-1].zfill(9), "753217532", strict=True))
    return total * 10 % 11 % 10 == int(number[-1])


def valid_iban(text: str) -> bool:
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def _plausible_phone(text: str) -> bool:
    number = digits(text)
    return (10 <= len(number) <= 14 and number.startswith(("0", "40"))) or (text.startswith("+") and len(number) >= 9)


# the text that has any of a kind holds at least this mark and this many digits
_RECOGNISERS = (
    ("email", "@", 0, EMAIL, lambda text: True),
    ("iban", "", 2, IBAN, valid_iban),
    ("cnp", "", 13, CNP, valid_cnp),
    ("cui", "RO", 2, CUI, valid_cui),
    ("phone", "", 9, PHONE, _plausible_phone),
)


def _decoded(token: str) -> Iterator[str]:
    if _HEXADECIMAL.fullmatch(token.removeprefix("x")):
        yield from _as_text(bytes.fromhex(token.removeprefix("x")))
    elif not token.isalpha() or not (token.islower() or token.istitle()):
        padded = token.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            yield from _as_text(base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True))
        except binascii.Error:
            return


def _as_text(data: bytes) -> Iterator[str]:
    for encoding in ("utf-8", "utf-16-le") if b"\x00" in data else ("utf-8",):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\n" in text or "".join(_INVISIBLE.sub("", text).split()).isprintable():
            yield text
