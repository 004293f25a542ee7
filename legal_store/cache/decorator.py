"""`@cache_manager.cached("billing:case:{case_id}")`: the results of a function, cached per arguments."""

from __future__ import annotations

import functools
import inspect
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from legal_store.errors import WrongUseError

if TYPE_CHECKING:
    from legal_store.cache.manager import CacheManager

P = ParamSpec("P")
R = TypeVar("R")


def decorate(
    cache: CacheManager, function: Callable[P, R], template: str, ttl: float | None, options: dict[str, Any]
) -> Callable[P, R]:
    """Return `function` with its results cached; see CacheManager.cached."""
    signature = inspect.signature(function)
    _check(function, signature, template)
    where = {name: options[name] for name in ("firm", "shared") if name in options}

    def cache_key(*args: P.args, **kwargs: P.kwargs) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return template.format_map({name: _part(name, value) for name, value in bound.arguments.items()})

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        value: R = cache.get_or_load(cache_key(*args, **kwargs), lambda: function(*args, **kwargs), ttl, **options)
        return value

    def invalidate(*args: P.args, **kwargs: P.kwargs) -> bool:
        return cache.delete(cache_key(*args, **kwargs), **where)

    call.cache_key = cache_key  # type: ignore[attr-defined]
    call.invalidate = invalidate  # type: ignore[attr-defined]
    return call


def _check(function: Callable[..., Any], signature: inspect.Signature, template: str) -> None:
    if inspect.iscoroutinefunction(function):
        raise WrongUseError(f"{function.__name__}() is a coroutine function; what it awaits can be cached, it cannot.")
    named = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    if unknown := sorted(named - set(signature.parameters)):
        raise WrongUseError(
            f"The key {template!r} names {', '.join(unknown)}, which {function.__name__}{signature} does not take."
        )


def _part(name: str, value: Any) -> str:
    text = str(getattr(value, "id", value))
    if ":" in text:
        raise WrongUseError(f"The argument {name}={text!r} holds a colon, which divides the parts of a key.")
    return text
