"""The cache: `from legal_store import cache_manager`. Nothing connects before the first use."""

from legal_store.cache.invalidation import Invalidated
from legal_store.cache.manager import CacheManager, Fence
from legal_store.cache.metrics import EntityMetrics

cache_manager = CacheManager()

__all__ = ["CacheManager", "EntityMetrics", "Fence", "Invalidated", "cache_manager"]
