"""Names of people and companies as they stand in Romanian files, and the errors people type."""

from __future__ import annotations

import random
import string

_SURNAMES = """
Popescu Ionescu Popa Pop Dumitrescu Stan Stoica Gheorghe Matei Ciobanu Rusu Munteanu Țăran Șerban Moldovan Nistor
Ștefănescu Bălan Lungu Dobre Barbu Nedelcu Tănase Văduva Enache Marin Florea Dinu Preda Ilie Sârbu Manole Mocanu
Cozma Anghel Costea Diaconu Iacob Toma Vasile Oprea Pascu Grigore Cristea Neagu Crăciun Olteanu Ardelean Suciu
"""
_FIRST_NAMES = """
Ion Ioan Maria Elena Andrei Mihai Ana Ioana Alexandru Cristina Gabriel Daniela Ștefan George Mihaela Adrian Vasile
Florin Răzvan Mădălina Bogdan Simona Cătălin Raluca Marius Roxana Radu Oana Victor Irina Sorin Alina Dragoș Laura
"""
_TRADES = "Construcții Transporturi Logistică Betoane Imobiliare Consulting Energie Medical Textile Mobilă"
_PLACES = "Prahova Cluj Someș Mureș Dâmbovița Iași Argeș Timiș Brașov Galați"
SURNAMES, FIRST_NAMES, TRADES, PLACES = (names.split() for names in (_SURNAMES, _FIRST_NAMES, _TRADES, _PLACES))


def full_names(count: int) -> list[str]:
    """Return `count` different names, the same ones each time."""
    source, names = random.Random(7), {}
    while len(names) < count:
        surname, first = source.choice(SURNAMES), source.choice(FIRST_NAMES)
        kind = source.random()
        if kind < 0.3:
            name = f"{source.choice(TRADES)} {surname} {source.choice(PLACES)} {source.choice(['S.R.L.', 'S.A.'])}"
        elif kind < 0.6:
            name = f"{surname} {source.choice(FIRST_NAMES)} {first}"
        else:
            name = f"{surname} {first}"
        names[name] = None
    return list(names)


def with_one_typo(name: str, seed: int) -> str:
    """Return `name` with one letter added, left out, replaced, or two swapped."""
    source = random.Random(seed)
    while True:
        at = source.choice([index for index, letter in enumerate(name) if letter.isalpha()])
        letter = source.choice(string.ascii_lowercase)
        typed = {
            0: name[:at] + letter + name[at:],
            1: name[:at] + name[at + 1 :],
            2: name[:at] + letter + name[at + 1 :],
            3: name[:at] + name[at + 1 : at + 2] + name[at] + name[at + 2 :],
        }[source.randrange(4)]
        if typed != name:
            return typed
