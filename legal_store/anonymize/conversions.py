"""What the built-in strategies do in Python, value by value, because no expression can state it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from legal_store.anonymize.strategy import Use

if TYPE_CHECKING:
    from legal_store.anonymize.entities import Entities


def free_text(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    return entities.replaced(value, firm)


def json_document(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    from msgspec import Raw

    from legal_store.anonymize.entities import REDACTED
    from legal_store.anonymize.structures import masked_json

    try:
        # numbers stay text, so that each comes out digit by digit as it went in
        document = json.loads(value, parse_int=Raw, parse_float=Raw)
        masked = masked_json(document, use.options["paths"], entities, firm)
        return value if masked == document else _json_text(masked)
    except (RecursionError, UnicodeEncodeError):  # nested too deeply, or half a character
        return json.dumps(REDACTED)


def _json_text(document: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=0).decode()


def array(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    from legal_store.anonymize.structures import masked_leaf

    return [
        array(item, use, entities, firm)
        if isinstance(item, list)  # of an array of arrays
        else masked_leaf(item, use.options["items"], entities, firm)
        for item in value
    ]
