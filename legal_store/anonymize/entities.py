"""Known people, companies and numbers of a firm, and their replacement wherever they occur in its free text."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from legal_store.anonymize.text import Recognised, folded, recognised, words

REDACTED = "[redacted]"
LONGEST_PHRASE = 8  # words; longer values are recognised as a whole by the proof, and the text is redacted

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


def is_identifier(key: str) -> bool:
    """Say whether a key reads like one that a program chose ("contact_email", "addressLine2"), not like data."""
    return _IDENTIFIER.fullmatch(key) is not None and not recognised(key)


class Phrase(NamedTuple):
    """Words that stand for somebody, and what replaces them."""

    words: tuple[str, ...]
    replacement: str


class Entities:
    """What is known of each firm: `names` are firm, name and what becomes of it.

    `survives` is asked about each replaced text: what it finds is redacted whole.
    """

    def __init__(
        self,
        key: bytes,
        survives: Callable[[str], bool] = lambda text: False,
        names: Iterable[tuple[object, str, str]] = (),
    ) -> None:
        self._key = key
        self._survives = survives
        self.key = lru_cache(10_000)(self._masked_key)
        self._phrases: dict[object, dict[str, dict[tuple[str, ...], str]]] = {}
        for firm, name, replacement in names:
            phrase = tuple(words(folded(name)))
            if phrase and len(phrase) <= LONGEST_PHRASE and sum(map(len, phrase)) >= 3:
                self._phrases.setdefault(firm, {}).setdefault(phrase[0], {}).setdefault(phrase, replacement)

    def replaced(self, text: str, firm: object) -> str:
        """Return `text` with what is known of `firm`, and what is personal by its form, replaced.

        Where something real is still recognisable afterwards, the whole text is redacted.
        """
        text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
        parts: list[str] = []
        position = 0
        for piece in recognised(text):
            parts += [self._names_replaced(text[position : piece.start], firm), self.pseudonym(piece)]
            position = piece.end
        result = "".join([*parts, self._names_replaced(text[position:], firm)])
        return REDACTED if self._survives(result) else result

    def pseudonym(self, piece: Recognised) -> str:
        """Return what replaces a recognised address or number: of the same form, the same wherever it occurs."""
        digest = hmac.digest(self._key, f"{piece.kind}\x1f{piece.text.lower()}".encode(), hashlib.sha256)
        if piece.kind == "email":
            return f"u{digest.hex()[:24]}@example.com"
        digits = iter(str(int.from_bytes(digest, "big")))
        text = "".join(next(digits) if char.isdigit() else "X" if char.isalpha() else char for char in piece.text)
        # no CNP begins with 0, no IBAN has the check digits 00: a pseudonym is never taken for a real number
        return {"cnp": f"0{text[1:]}", "iban": f"{text[:2]}00{text[4:]}"}.get(piece.kind, text)

    def _masked_key(self, key: str) -> str:
        """Return a key of JSON: itself where it is an identifier and no trace of anybody, else another one for each."""
        if is_identifier(key) and not self._survives(key):
            return key
        return f"key_{hmac.digest(self._key, f'key{chr(31)}{key}'.encode(), hashlib.sha256).hex()[:12]}"

    def _names_replaced(self, text: str, firm: object) -> str:
        known = self._phrases.get(firm)
        if not known:
            return text
        found = [(match.start(), match.end(), folded(match.group())) for match in _WORD.finditer(text)]
        parts: list[str] = []
        position = index = 0
        while index < len(found):
            phrase = _longest(
                known.get(found[index][2]), [word for _, _, word in found[index : index + LONGEST_PHRASE]]
            )
            if phrase is None:
                index += 1
                continue
            parts += [text[position : found[index][0]], phrase.replacement]
            index += len(phrase.words)
            position = found[index - 1][1]
        return "".join([*parts, text[position:]])


def _longest(candidates: dict[tuple[str, ...], str] | None, following: list[str]) -> Phrase | None:
    fitting = [phrase for phrase in candidates or () if tuple(following[: len(phrase)]) == phrase]
    if not candidates or not fitting:
        return None
    best = max(fitting, key=len)
    return Phrase(best, candidates[best])
