"""SQL text as statements and tokens: what PostgreSQL's own client knows about where a statement ends. Pure.

Understood are quotes, E'' strings, dollar quotes, nested comments, parentheses and the bodies of BEGIN ATOMIC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from legal_store.errors import MigrationError

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | (?:[uU]&|[bBxXnN])?'(?:[^']|'')*')
    | (?P<identifier>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\.?\d[\w.]*)
    | (?P<operator>(?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?])+)
    | (?P<semicolon>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<unclosed>['"])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_NO_MEANING = frozenset({"space", "comment"})


class Token(NamedTuple):
    """One piece of SQL text and where it begins."""

    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """The keyword in upper case; empty for anything but a bare word."""
        return self.text.upper() if self.kind == "word" else ""


class Statement(NamedTuple):
    """One statement without its semicolon, the line it begins on, and the comments before and inside it."""

    text: str
    line: int
    comments: tuple[str, ...] = ()


def tokens(text: str) -> Iterator[Token]:
    """Yield every token of `text`. Raises MigrationError with the line of a quote or comment that never ends."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:  # cannot be: the last alternative takes any character
            raise AssertionError(position)
        kind, end = str(match.lastgroup), match.end()
        if kind == "block":
            kind, end = "comment", _end_of_comment(text, position)
        elif kind == "dollar":
            kind, end = "string", _end_of_dollar_quote(text, position, match.group())
        elif kind == "unclosed":
            raise _endless(text, position, "quote")
        yield Token(kind, text[position:end], position)
        position = end


def split_statements(text: str, *, first_line: int = 1) -> list[Statement]:
    """Return the statements of `text`, in order; `first_line` is the number of its first line in the file."""
    return [
        Statement(
            text[pieces[0].start : pieces[-1].start + len(pieces[-1].text)], _line(text, pieces[0], first_line), c
        )
        for pieces, c in _grouped(text)
    ]


def normalized(text: str) -> str:
    """Return `text` without comments and with one space between tokens: what a formatter cannot change."""
    return " ".join(token.text for token in tokens(text) if token.kind not in _NO_MEANING)


def leading_words(text: str, count: int = 8) -> list[str]:
    """Return the first bare words of a statement in upper case, e.g. ["CREATE", "INDEX", "CONCURRENTLY"]."""
    words: list[str] = []
    for token in tokens(text):
        if token.kind in _NO_MEANING:
            continue
        words.append(token.word or token.text)
        if len(words) == count:
            break
    return words


def _grouped(text: str) -> Iterator[tuple[list[Token], tuple[str, ...]]]:
    pieces: list[Token] = []
    comments: list[str] = []
    parentheses, body, previous = 0, 0, ""
    for token in tokens(text):
        if token.kind == "comment":
            comments.append(token.text)
        if token.kind in _NO_MEANING:
            continue
        parentheses += (token.kind == "open") - (token.kind == "close")
        body = _depth_of_body(body, previous, token.word)
        if token.kind == "semicolon" and parentheses <= 0 and body == 0:
            if pieces:
                yield pieces, tuple(comments)
            pieces, comments, parentheses = [], [], 0
        else:
            pieces.append(token)
        previous = token.word
    if pieces:
        yield pieces, tuple(comments)


def _depth_of_body(depth: int, previous: str, word: str) -> int:
    """How deep we are inside BEGIN ATOMIC ... END, where CASE has an END of its own."""
    if depth == 0:
        return int(previous == "BEGIN" and word == "ATOMIC")
    return depth + (word == "CASE" and previous != "END") - (word == "END")


def _end_of_comment(text: str, start: int) -> int:
    depth, position = 1, start + 2
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            raise _endless(text, start, "comment")
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position


def _end_of_dollar_quote(text: str, start: int, tag: str) -> int:
    end = text.find(tag, start + len(tag))
    if end < 0:
        raise _endless(text, start, f"quote {tag}")
    return end + len(tag)


def _endless(text: str, start: int, what: str) -> MigrationError:
    line = text.count("\n", 0, start) + 1
    return MigrationError(f"The {what} that begins on line {line} never ends.", remedy="Close it.")


def _line(text: str, token: Token, first_line: int) -> int:
    return first_line + text.count("\n", 0, token.start)
