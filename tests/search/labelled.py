# ruff: noqa: E501
"""A labelled set: documents of a firm in one language, and queries with the documents that answer them.

Everything is made from lists and one seed, so that the set is the same each time. A document is of a kind, for a
party, about an object; it has a number and some clauses, and much that is in every document. Of three queries one
asks for a kind and a party, one for a number, one for what a clause said, in other words. Every second word of the
first and the third has a typing error.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.search.names import PLACES, SURNAMES, TRADES, with_one_typo


class Language(NamedTuple):
    kinds: dict[str, str]
    objects: list[str]
    clauses: dict[str, str]
    common: str
    reference: tuple[str, str]


ROMANIAN = Language(
    kinds={
        "Contract de închiriere": "contract inchiriere",
        "Contract de furnizare": "contractul de furnizare",
        "Contract de vânzare-cumpărare": "vanzare cumparare",
        "Notificare de reziliere": "notificarea de reziliere",
        "Cerere de chemare în judecată": "chemare in judecata",
        "Întâmpinare": "intampinarea",
        "Contestație în anulare": "contestatia in anulare",
        "Proces-verbal de predare": "procesul verbal de predare-primire",
        "Act adițional": "actul aditional",
        "Convenție de plată": "conventia de plata",
    },
    objects=[
        "apartament cu trei camere",
        "teren agricol extravilan",
        "utilaje de construcții",
        "beton de clasă superioară",
        "licențe de program informatic",
        "autoturisme de serviciu",
        "spațiu comercial",
        "părți sociale",
        "echipamente medicale",
        "servicii de pază",
        "material lemnos",
        "drepturi de autor",
        "energie electrică",
        "mobilier de birou",
        "produse farmaceutice",
    ],
    clauses={
        "Pentru fiecare zi de întârziere debitorul datorează penalități de 0,1% din suma restantă.": "penalitate pentru zilele intarziate din restanta",
        "Contractul se reziliază de drept, fără intervenția instanței, dacă plata nu se face în termen.": "rezilierea de drept fara instanta",
        "Părțile păstrează confidențialitatea informațiilor timp de cinci ani.": "obligatia de confidentialitate a partilor",
        "Forța majoră exonerează de răspundere partea care o invocă și o notifică.": "exonerarea de raspundere prin forta majora",
        "Litigiile se soluționează de instanțele de la sediul reclamantului.": "instanta competenta la sediul reclamantului in litigiu",
        "Garanția de bună execuție este de zece la sută și se restituie la recepție.": "restituirea garantiei de executie dupa receptie",
        "Salariatul se obligă să nu facă concurență angajatorului după încetarea contractului.": "neconcurenta salariatului fata de angajator",
        "Prețul se indexează anual cu rata inflației comunicată de institutul de statistică.": "indexarea pretului cu inflatia",
        "Riscul pieirii bunului trece asupra cumpărătorului la momentul predării.": "transferul riscului la predarea bunului",
        "Prescripția dreptului la acțiune se împlinește în termen de trei ani.": "termenul de prescriptie al actiunii",
        "Asigurarea bunurilor cade în sarcina locatarului pe toată durata locațiunii.": "locatarul asigura bunurile",
        "Cesiunea creanței se notifică debitorului cedat prin executor judecătoresc.": "notificarea debitorului despre cesionarea creantei",
    },
    common=(
        "Prezentul înscris a fost întocmit în două exemplare originale, câte unul pentru fiecare parte, astăzi, data "
        "semnării. Părțile declară că au citit și au înțeles cuprinsul, că persoanele care semnează au puteri depline, "
        "că domiciliul ales este cel din preambul și că orice modificare se face numai în scris. Anexele fac parte "
        "integrantă din înscris. Nulitatea unei clauze nu atrage nulitatea celorlalte."
    ),
    reference=("Dosar nr. {}/3/2023.", "dosarul {}"),
)

ENGLISH = Language(
    kinds={
        "Lease agreement": "leasing agreement",
        "Supply agreement": "agreement for supplies",
        "Sale and purchase contract": "sales and purchases contract",
        "Notice of termination": "termination notice",
        "Statement of claim": "claim statement",
        "Statement of defence": "defence statements",
        "Application to set aside": "setting aside application",
        "Handover record": "record of hand-over",
        "Deed of amendment": "amendment deed",
        "Payment settlement": "settled payments",
    },
    objects=[
        "three bedroom flat",
        "agricultural land",
        "construction machinery",
        "ready mixed concrete",
        "software licences",
        "company vehicles",
        "retail premises",
        "shares in the company",
        "medical equipment",
        "security guards",
        "timber products",
        "copyright works",
        "electricity",
        "office furniture",
        "pharmaceutical products",
    ],
    clauses={
        "For each day of delay the debtor owes a penalty of 0.1% of the overdue amount.": "penalties for delayed days on overdue amounts",
        "The contract is terminated automatically, without a court, if payment is not made in time.": "automatic termination without courts",
        "The parties keep all information confidential for five years.": "confidentiality obligations of a party",
        "Force majeure relieves the party that invokes and notifies it of liability.": "relief from liabilities by force majeure",
        "Disputes are settled by the courts at the claimant's seat.": "disputed matters, court of the claimant's seat",
        "The performance bond is ten percent and is returned at acceptance.": "returning the performance bond after accepting",
        "The employee undertakes not to compete with the employer after the contract ends.": "non competing employees and their employers",
        "The price is indexed every year by the inflation rate of the statistics office.": "price indexation with inflation",
        "The risk of loss passes to the buyer at the moment of delivery.": "passing of risks on delivering to buyers",
        "The limitation period of the action is three years.": "periods of limitation for actions",
        "Insurance of the goods is borne by the tenant during the whole lease.": "tenants insuring goods",
        "The assignment of the claim is notified to the debtor by a bailiff.": "notifying the debtor that claims were assigned",
    },
    common=(
        "This instrument was drawn up in two originals, one for each side, on the day of signing. The signatories "
        "declare that they have read and understood it, that they act with full powers, that notices go to the "
        "addresses in the preamble and that any change has to be in writing. The annexes are an integral part of it. "
        "Should a provision be void, the others stay in force."
    ),
    reference=("File no. {}/3/2023.", "files {}"),
)


class Paper(NamedTuple):
    title: str
    content: str


class Question(NamedTuple):
    text: str
    answers: frozenset[int]


class _Facts(NamedTuple):
    kind: str
    party: str
    thing: str
    clauses: tuple[str, ...]
    number: int


def papers_and_questions(
    language: Language, papers: int, questions: int, seed: int
) -> tuple[list[Paper], list[Question]]:
    """Return that many documents and questions, others for each seed; `answers` are places in the list of documents."""
    source = random.Random(seed)
    facts = [_facts(language, source) for _ in range(papers)]
    return [_paper(language, one) for one in facts], [_question(language, facts, n, source) for n in range(questions)]


def _facts(language: Language, source: random.Random) -> _Facts:
    return _Facts(
        source.choice(list(language.kinds)),
        f"{source.choice(TRADES)} {source.choice(SURNAMES)} {source.choice(PLACES)}",
        source.choice(language.objects),
        tuple(sorted(source.sample(list(language.clauses), 3))),
        source.randrange(1_000, 10_000),
    )


def _paper(language: Language, facts: _Facts) -> Paper:
    number = language.reference[0].format(facts.number)
    content = (
        f"{number} {facts.thing.capitalize()}. {' '.join(facts.clauses)} {facts.thing.capitalize()}. {language.common}"
    )
    return Paper(f"{facts.kind} – {facts.party}", content)


def _question(language: Language, facts: list[_Facts], number: int, source: random.Random) -> Question:
    wanted = source.choice(facts)
    clause = source.choice(wanted.clauses)
    if number % 3 == 0:
        text = _typed(f"{language.kinds[wanted.kind]} {wanted.party}", number)
        answers = [at for at, one in enumerate(facts) if (one.kind, one.party) == (wanted.kind, wanted.party)]
    elif number % 3 == 1:
        text = language.reference[1].format(wanted.number)
        answers = [at for at, one in enumerate(facts) if one.number == wanted.number]
    else:
        text = _typed(f"{language.clauses[clause]} {wanted.thing}", number)
        answers = [at for at, one in enumerate(facts) if one.thing == wanted.thing and clause in one.clauses]
    return Question(text, frozenset(answers))


def _typed(text: str, seed: int) -> str:
    """Return `text` with an error in every second word of more than three letters."""
    words = text.split()
    return " ".join(with_one_typo(w, seed) if len(w) > 3 and at % 2 == seed % 2 else w for at, w in enumerate(words))
