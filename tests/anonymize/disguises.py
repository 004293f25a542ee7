"""Real values in disguise: what people, programs and encodings make of a name or a number."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

PERSON = "Ștefănel Brâncovici"
EMAIL = "stefanel.brancovici@avocati-brasov.ro"
PHONE = "+40 744 918 273"
CNP = "1850312089019"
IBAN = "RO49AAAA1B31007593840000"

NAME_DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "small letters": str.lower,
    "without accents": lambda t: unicodedata.normalize("NFKD", t).encode("ascii", "ignore").decode(),
    "decomposed": lambda t: unicodedata.normalize("NFD", t),
    "cedillas": lambda t: t.replace("Ș", "Ş").replace("ș", "ş"),
    "reversed order": lambda t: " ".join(reversed(t.split())),
    "comma": lambda t: ", ".join(reversed(t.split())),
    "two spaces": lambda t: t.replace(" ", "  "),
    "no-break space": lambda t: t.replace(" ", "\u00a0"),
    "hyphen": lambda t: t.replace(" ", "-"),
    "underscore": lambda t: t.replace(" ", "_"),
    "dot": lambda t: t.replace(" ", "."),
    "nothing between": lambda t: t.replace(" ", ""),
    "spaced letters": lambda t: " ".join(t.replace(" ", "")),
    "zero-width spaces": lambda t: "\u200b".join(t),
    "soft hyphens": lambda t: "\u00ad".join(t),
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    "percent": quote,
    "plus": quote_plus,
    "HTML": lambda t: "".join(f"&#{ord(c)};" for c in t),
    "JSON escapes": lambda t: "".join(f"\\u{ord(c):04x}" for c in t),
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "hexadecimal": lambda t: t.encode().hex(),
    "in a sentence": lambda t: f"Am vorbit cu {t} ieri.",
    "in a file name": lambda t: f"contract_{t.replace(' ', '_')}_final.pdf",
}

NUMBER_DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "spaced": " ".join,
    "dots": lambda t: ".".join(t[i : i + 3] for i in range(0, len(t), 3)),
    "in a sentence": lambda t: f"nr. {t}, vezi dosarul",
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "percent": quote,
}


def canaries() -> list[tuple[str, str]]:
    """Return every disguise of every canary, with what it is."""
    found = [(f"name, {name}", disguise(PERSON)) for name, disguise in NAME_DISGUISES.items()]
    found += [
        (f"e-mail, {name}", NAME_DISGUISES[name](EMAIL)) for name in ("as it is", "capitals", "percent", "base64")
    ]
    for kind, value in (("CNP", CNP), ("IBAN", IBAN), ("phone", PHONE.replace(" ", ""))):
        found += [(f"{kind}, {name}", disguise(value)) for name, disguise in NUMBER_DISGUISES.items()]
    return found
