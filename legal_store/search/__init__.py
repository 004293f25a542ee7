"""Finding a firm's documents and names by meaning, spelling and words.

    with legal_store.firm(firm_id), db.connection_context():
        search.fuzzy("Popesku")                        names and titles, typing errors forgiven
        search.text('"putere de lege" -chirie')        full text, Romanian and English
        search.semantic(vector, case=case, limit=10)   embeddings
        search.hybrid("penalități de întârziere")      the three in one, ranks fused

Every call answers from one firm only, returns a list of Hit, best first and always in the same order, and ends
within its own time limit. Outside `with legal_store.firm(...)` it raises FirmScopeError; SearchInputError says what
is wrong with a query; SearchError, that the limit was reached.
"""

from legal_store.search.calibration import calibrate
from legal_store.search.embedding import embed_documents
from legal_store.search.fusion import hybrid
from legal_store.search.hits import ArmRank, Hit
from legal_store.search.inputs import Filters
from legal_store.search.meaning import semantic
from legal_store.search.names import fuzzy
from legal_store.search.providers import EmbeddingProvider, embed_query, provider
from legal_store.search.words import text

__all__ = [
    "ArmRank",
    "EmbeddingProvider",
    "Filters",
    "Hit",
    "calibrate",
    "embed_documents",
    "embed_query",
    "fuzzy",
    "hybrid",
    "provider",
    "semantic",
    "text",
]
