"""Reads a web-style query: words, "phrases", -exclusions, OR. Pure.

PostgreSQL's websearch_to_tsquery() knows one language at a time, and two of its results cannot be joined: what is
excluded in one language would come back through the other. So each term is asked for in all languages first, and
the terms are joined after.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from legal_store.errors import SearchInputError
from legal_store.models.searching import ENGLISH, ROMANIAN

CONFIGURATIONS = {"ro": f"public.{ROMANIAN.name}", "en": f"public.{ENGLISH.name}"}
MAX_TERMS = 60

# PostgreSQL brings no Romanian stop words; these are in nearly every document
_SAY_NOTHING = """
a ai al ale am ar are as asupra au aceasta aceste acest acestei acestui ca care cat ce cea cei cel cele celor cu cum
catre da dar de din dintre după dupa el ei este era eu fi fie fost in între intre iar isi la le lor lui mai ne nici nu
o ori pe pentru prin printre sa sau se si sunt su un una unei unor unui va vor îi își și în să că ca
"""
_STOP_WORDS = frozenset(_SAY_NOTHING.split())
_TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


class Term(NamedTuple):
    """A word or phrase that must be there, or must not."""

    text: str
    excluded: bool = False


Alternatives = list[list[Term]]


def read_query(query: str) -> Alternatives:
    """Return the alternatives between ORs, each a list of terms that belong together.

    Unpaired quotes end with the query; words that say nothing are left out where others remain. Raises
    SearchInputError when nothing can be looked for: no letters, exclusions only, or more than 60 terms.
    """
    alternatives: Alternatives = [[]]
    for match in _TERM.finditer(query):
        if match["word"] and match["word"].lower() == "or" and not match["minus"]:
            alternatives.append([])
        else:
            text = match["word"] if match["phrase"] is None else match["phrase"]
            if any(character.isalnum() for character in text):
                alternatives[-1].append(Term(text.replace("/", " "), excluded=bool(match["minus"])))
    alternatives = [_telling(terms) for terms in alternatives if any(not term.excluded for term in terms)]
    if not alternatives:
        raise SearchInputError("The query has no word to look for.", remedy="Give a word that is not excluded.")
    if sum(map(len, alternatives)) > MAX_TERMS:
        raise SearchInputError(f"The query has more than {MAX_TERMS} words.", remedy="Use the words that matter.")
    return alternatives


def tsquery(alternatives: Alternatives, languages: Sequence[str]) -> tuple[str, list[str]]:
    """Return the SQL expression of the query, a tsquery, and its parameters."""
    texts = [term.text for terms in alternatives for term in terms]
    expression = " || ".join(f"({_all_of(terms, languages)})" for terms in alternatives)
    return expression, [text for text in texts for _ in languages]


def any_word(alternatives: Alternatives) -> Alternatives:
    """Return the query that is met by any of the words, exclusions kept: for ranking rather than for selecting."""
    excluded = [term for terms in alternatives for term in terms if term.excluded]
    words = [word for terms in alternatives for term in terms if not term.excluded for word in term.text.split()]
    unique = list(dict.fromkeys(words))[:MAX_TERMS]
    return [[Term(word), *excluded] for word in unique] if excluded else [[Term(word)] for word in unique]


def _telling(terms: list[Term]) -> list[Term]:
    kept = [term for term in terms if term.text.lower() not in _STOP_WORDS]
    return kept if any(not term.excluded for term in kept) else terms


def _all_of(terms: list[Term], languages: Sequence[str]) -> str:
    return " && ".join(_one(term, languages) for term in terms)


def _one(term: Term, languages: Sequence[str]) -> str:
    in_each = " || ".join(f"phraseto_tsquery('{CONFIGURATIONS[language]}', %s)" for language in languages)
    return f"!!({in_each})" if term.excluded else f"({in_each})"
