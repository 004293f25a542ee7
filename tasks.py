"""Hands Invoke the tasks of legal_store, of installed plugins and of the folder ops/ beside this file."""

import sys
from pathlib import Path

from legal_store.cli.discovery import build_collection
from legal_store.errors import LegalStoreError

try:
    namespace = build_collection(Path(__file__).parent)
except LegalStoreError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
