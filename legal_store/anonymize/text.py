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
from collections.abc import Callable, Iterator
from functools import lru_cache
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
_NO_DIGITS = re.compile(r"\D+")
_WITHOUT_MARKS = str.maketrans({mark: None for mark in _MARKS if mark != CELL})
_UUID = re.compile(r"[0-9a-fA-F][0-9a-fA-F]{7}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-][A-Za-z0-9+/_-]{7,}={0,2}")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_FRAGMENT = re.compile("[^\x00-\x08\x0e-\x1f\x7f\ufffd]{6,}")
_READABLE = frozenset(b"\t\n\r" + bytes(range(32, 127)))
_LOOKALIKES = str.maketrans("авекмнорстухіјѕ" + "ıłøđßæ", "abekmhopctyxijs" + "ilodsa")
_DIGIT_RUN = re.compile(r"\d(?<!\d\d)(?:[\s().,\-/_]{0,3}\d){6,}(?!\d)")
_GROUP = re.compile(r"\d+")
_LEAST_DIGITS, _MOST_DIGITS = 7, 24  # of what is looked at as one number

EMAIL = re.compile(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
IBAN_HEAD = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?<![^\W_][A-Za-z]{2}\d)\d")
CNP = re.compile(r"[1-9](?<![\da-f][1-9])(?:[ .\-/]?\d){12}(?![^\W_])")
CUI = re.compile(r"R(?<!\wR)O ?(\d{2,10})\b")
NUMBER = re.compile(r"\d(?<!\d\d)\d{4,9}(?!\w)")
_BEFORE_CUI = re.compile(
    r"(?:^|[\W\d_])(?:c\.?u\.?i|c\.?i\.?f|cod(?:ul)? (?:fiscal|unic de [îi]nregistrare))\b[ :.\-nr]{0,8}(?:ro ?)?$",
    re.IGNORECASE,
)
PHONE = re.compile(r"(?<![\w.])(?:\+?\d{1,3}[ .\-]?)?(?:\(?0?\d{2,4}\)?[ .\-/]?)\d{3}[ .\-]?\d{3,4}(?!\w)")
ROMANIAN_PHONE = re.compile(
    r"[+04](?<![\d.][+04])(?:(?<=\+)\(?40\)?[ .\-/]{0,2}(?:\(?0\)?)?[ .\-/]{0,2}|(?<=0)040[ .\-/]{0,2}"
    r"|(?<=4)0[ .\-/]{0,2}|(?<=0))[237](?:[ .\-/()]{0,2}\d){8}(?!\w)"
)
_BEFORE_PHONE = re.compile(r"(?:^|[\W\d_])(?:tel|telefon|mobil|mob|fax|phone|nr|t|f|m)?$", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{4,}[a-f][0-9a-f]*")
_DATE = re.compile(r"\d\d?([./\-])\d\d?\1(?:19|20)\d\d(?!\d)")
_DECIMAL = re.compile(r"0\.\d+")
_IBAN_COUNTRIES = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_LENGTHS = {listed[:2]: int(listed[2:]) for listed in _IBAN_COUNTRIES.split()}


class _Alike(dict[int, str]):
    """Digits, letters, spaces and dashes of all scripts as those of ASCII, one character for one."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        plain = unicodedata.normalize("NFKC", char)
        if unicodedata.category(char) in ("Pd", "Zs") or char == "\u2212":
            plain = " " if char.isspace() else "-"
        elif char.isdecimal():
            plain = str(unicodedata.decimal(char))
        self[code] = plain if len(plain) == 1 else char
        return self[code]


_ALIKE = _Alike()
_UNUSUAL = re.compile("[\u00a0\u0660-\u0669\u06f0-\u06f9\u2000-\u2015\u202f\u2212\u3000\uff01-\uff5e]")


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
    return text.translate(_ONLY_DIGITS) if text.isascii() else _NO_DIGITS.sub("", text)


def digit_runs(text: str) -> set[str]:
    """Return the numbers of seven or more digits, however they are grouped; phones by their last nine digits.

    What follows a number may belong to it or not ("0722 345 678 12"): neighbouring groups are taken in every way.
    """
    runs = _DIGIT_RUN.findall(_UUID.sub(" ", text))
    numbers = {number for run in runs for number in _numbers_of(_GROUP.findall(run))}
    return numbers | {number[-9:] for number in numbers}


def _numbers_of(groups: list[str]) -> Iterator[str]:
    for first in range(len(groups)):
        number = ""
        for group in groups[first:]:
            number += group
            if len(number) > _MOST_DIGITS and number != group:
                break
            if len(number) >= _LEAST_DIGITS:
                yield number


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

    Numbers with a checksum count only when it is right. Their text is given with the digits, spaces and dashes of
    ASCII, whatever those of `text` are.
    """
    if not text.isascii() and _UNUSUAL.search(text):
        text = text.translate(_ALIKE)
    found: list[Recognised] = []
    amount = len(digits(text))
    if amount < 5 and "@" not in text and "RO" not in text:
        return []
    if amount > 8 and text.count("-") > 3:
        found += [Recognised("uuid", *match.span(), match.group()) for match in _UUID.finditer(text)]
    for kind, mark, least_digits, pattern, span in _RECOGNISERS:
        position = 0
        while mark in text and amount >= least_digits and (match := pattern.search(text, position)):
            start, end = span(match)
            position = max(end, match.start() + 1)
            if end and all(end <= other.start or start >= other.end for other in found):
                found.append(Recognised(kind, start, end, text[start:end]))
    return sorted((piece for piece in found if piece.kind != "uuid"), key=lambda item: item.start)


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
    compact = squashed(text).upper()
    if len(compact) != _IBAN_LENGTHS.get(compact[:2]):
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def is_reserved(address: str) -> bool:
    """Say whether an e-mail address is of example.com, or a domain below it, where nobody has one."""
    domain = address.lower().rpartition("@")[2]
    return domain == "example.com" or domain.endswith(".example.com")


Span = tuple[int, int]
_NONE: Span = (0, 0)


def _span_if(right: Callable[[str], bool]) -> Callable[[re.Match[str]], Span]:
    """Return what gives the span of a match whose text is `right`."""
    return lambda match: match.span() if right(match.group()) else _NONE


def _iban_span(match: re.Match[str]) -> Span:
    """Return the span of the IBAN whose check digits `match` is: as long as those of its country are."""
    text, start = match.string, match.start() - 2
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
    whole = _iban_of(length).match(text, start) if length else None
    if whole is None or not valid_iban(whole.group()):
        return _NONE
    # one in some ten thousand hexadecimal digests would be an IBAN in small letters, if any could
    return _NONE if _DIGEST.fullmatch(squashed(whole.group())) else whole.span()


@lru_cache
def _iban_of(length: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[A-Za-z0-9][ .\-/]{{0,2}}){{{length - 1}}}[A-Za-z0-9](?![A-Za-z0-9])")


def _named_cui_span(match: re.Match[str]) -> Span:
    before = match.string[max(0, match.start() - 45) : match.start()]
    return match.span() if _BEFORE_CUI.search(before) and valid_cui(match.group()) else _NONE


def _phone_span(match: re.Match[str]) -> Span:
    """Return the span of a phone number, unless it is a date, a decimal number or the end of a longer word."""
    text = match.group()
    before = match.string[max(0, match.start() - 10) : match.start()]
    wrong = _DATE.match(text) or _DECIMAL.fullmatch(text) or not _BEFORE_PHONE.search(before)
    return _NONE if wrong or not _plausible_phone(text) else match.span()


def _plausible_phone(text: str) -> bool:
    number = digits(text)
    return (10 <= len(number) <= 14 and number.startswith(("0", "40"))) or (text.startswith("+") and len(number) >= 9)


# the text that has any of a kind holds at least this mark and this many digits
_RECOGNISERS: tuple[tuple[str, str, int, re.Pattern[str], Callable[[re.Match[str]], Span]], ...] = (
    ("email", "@", 0, EMAIL, _span_if(lambda text: True)),
    ("iban", "", 8, IBAN_HEAD, _iban_span),
    ("cnp", "", 13, CNP, _span_if(lambda text: valid_cnp(digits(text)))),
    ("cui", "RO", 2, CUI, _span_if(valid_cui)),
    ("cui", "", 5, NUMBER, _named_cui_span),
    ("phone", "", 9, ROMANIAN_PHONE, _phone_span),
    ("phone", "", 9, PHONE, _phone_span),
)


def _decoded(token: str) -> Iterator[str]:
    if _HEXADECIMAL.fullmatch(token.removeprefix("x")):
        data = bytes.fromhex(token.removeprefix("x"))
        decoded = list(_as_text(data))
        yield from decoded or (_fragments(data) if token.startswith("x") else ())
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


def _fragments(data: bytes) -> Iterator[str]:
    """Yield the readable pieces of bytes that are no text as a whole: in UTF-8, UTF-16, or the older 8-bit encoding."""
    readable = sum(byte in _READABLE for byte in data)
    if b"\x00" in data:
        encoded = [(data, "utf-8"), (data, "utf-16-le"), (data[1:], "utf-16-le")]
    else:
        encoded = [(data, "utf-8")] + [(data, "cp1250")] * (readable > 0.7 * len(data))
    for part, encoding in encoded:
        yield f" {CELL} ".join(_FRAGMENT.findall(part.decode(encoding, "replace")))
