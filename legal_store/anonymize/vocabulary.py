"""Words that masks are made of."""

from functools import lru_cache

LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo "
    "consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla "
    "pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est "
    "laborum. Curabitur pretium tincidunt lacus, nulla gravida orci a odio. Nullam varius, turpis et commodo "
    "pharetra, est eros bibendum elit, nec luctus magna felis sollicitudin mauris. Integer in mauris eu nibh euismod "
    "gravida. Duis ac tellus et risus vulputate vehicula. Donec lobortis risus a elit. Etiam tempor, ut ullamcorper "
    "ligula eu tempor congue, eros est euismod turpis, id tincidunt sapien risus a quam. "
)

# fmt: off
FIRST_NAMES_RO = (
    "Ada", "Adela", "Adina", "Agata", "Albert", "Alexia", "Alina", "Amalia", "Anca", "Andra", "Anton",
    "Antonia", "Ariana", "Aurel", "Aurora", "Barbu", "Bianca", "Bogdan", "Camelia", "Carina", "Carmen",
    "Catinca", "Cezar", "Ciprian", "Claudiu", "Codrin", "Corina", "Cosmin", "Dacian", "Dafina", "Damian",
    "Daria", "Delia", "Denisa", "Despina", "Dorel", "Dorina", "Dragomir", "Eliza", "Emanuel", "Emil", "Eva",
    "Fabian", "Felicia", "Filip", "Flavia", "Flavius", "Florica", "Frosina", "Gelu", "Gilda", "Gloria",
    "Gratiana", "Horia", "Iarina", "Ilinca", "Iolanda", "Irina", "Iulian", "Ivona", "Jana", "Lavinia", "Leon",
    "Lidia", "Liviu", "Luca", "Lucia", "Luminita", "Magda", "Manuela", "Marcel", "Margareta", "Marin", "Matei",
    "Melania", "Mircea", "Miron", "Narcisa", "Natalia", "Nestor", "Nicoleta", "Octavian", "Olga", "Olimpia",
    "Oana", "Ovidiu", "Pavel", "Petrina", "Raluca", "Rares", "Remus", "Roxana", "Ruxandra", "Sabina",
    "Sebastian", "Serban", "Silvia", "Sorina", "Tamara", "Teodora", "Tiberiu", "Traian", "Tudor", "Valentina",
    "Veronica", "Victor", "Viorica", "Zamfira",
)
# fmt: on

# fmt: off
LAST_NAMES_RO = (
    "Albescu", "Aldea", "Antonescu", "Apostolescu", "Arghirescu", "Baciu", "Balanescu", "Banica", "Barbulescu",
    "Bejan", "Birsan", "Boieru", "Bratianu", "Bucurescu", "Calinescu", "Campeanu", "Cantemir", "Caraiman",
    "Carp", "Ceausu", "Cernat", "Chirita", "Ciobotaru", "Cojocaru", "Comanescu", "Constandache", "Corbeanu",
    "Cosma", "Costache", "Cristescu", "Dalca", "Darie", "Diaconescu", "Dima", "Dobrescu", "Dragulescu",
    "Dumbrava", "Enache", "Epureanu", "Fierascu", "Filimon", "Frunza", "Galatescu", "Gavrila", "Gherasim",
    "Giurgiu", "Grigorescu", "Hanganu", "Hasdeu", "Iacobescu", "Ignatescu", "Iliescu", "Irimia", "Ispas",
    "Jianu", "Lazarescu", "Lefter", "Lepadatu", "Lungescu", "Macovei", "Manolache", "Marcovici", "Matache",
    "Mihailescu", "Moldovanu", "Muntean", "Nastase", "Neagoe", "Negulescu", "Olaru", "Oltean", "Onofrei",
    "Paduraru", "Panait", "Patrascu", "Pavelescu", "Petrache", "Plesu", "Prodan", "Racovita", "Radulescu",
    "Rotaru", "Sandulescu", "Savulescu", "Serbanescu", "Simionescu", "Slavescu", "Spataru", "Stamate",
    "Stanculescu", "Stroe", "Suciu", "Tanasescu", "Teodorescu", "Tomescu", "Trifan", "Turcanu", "Udrea",
    "Ursache", "Vacarescu", "Vladescu", "Voicu", "Zaharia", "Zamfirescu",
)
# fmt: on


@lru_cache(maxsize=32)
def pool(what: str, locale: str) -> tuple[str, ...]:
    """Return different first or last names, companies, cities or addresses of a locale, the same each time."""
    if locale == "ro" and what in ("first_name", "last_name"):
        return FIRST_NAMES_RO if what == "first_name" else LAST_NAMES_RO
    from mimesis import Generic, Locale

    # mimesis speaks no Romanian: what has no list of ours falls back on English
    source = Generic(Locale(locale if locale != "ro" else "en"), seed=1)
    make = {
        "first_name": source.person.first_name,
        "last_name": source.person.last_name,
        "company": source.finance.company,
        "city": source.address.city,
        "address": source.address.address,
    }[what]
    return tuple(sorted({make() for _ in range(500)}))
