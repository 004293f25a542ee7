"""Hands Invoke the tasks of legal_store, of installed plugins and of the folder ops/ beside this file.

Invoke finds this file from any folder below; the tasks work in this one, with its servers, migrations and backups.
"""

import os
import sys
from pathlib import Path

from legal_store.cli.discovery import build_collection
from legal_store.cli.streams import mind_readers
from legal_store.errors import LegalStoreError

mind_readers()  # `invoke --list | head`
folder = Path(__file__).resolve().parent
if Path.cwd() != folder:
    print(f"(in {folder})", file=sys.stderr)
    os.chdir(folder)
try:
    namespace = build_collection(folder)
except LegalStoreError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
