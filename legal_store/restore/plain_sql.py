r"""Plain SQL, judged before psql gets it: it stays in the database that it is loaded into, and it is whole.

psql obeys `DROP DATABASE` and `\connect` wherever they stand, and `pg_dump --create --clean` writes both. So the text
is read as psql reads it (quotes, dollar quotes, comments, rows of COPY), and what is meant for the whole server or
for psql itself is refused, as is whatever is not understood. A statement is handed on when it was judged, not before.

What code in the file does at the server (COPY … PROGRAM, dblink, untrusted languages) is not seen here: that is what
`--trust-sql` is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from legal_store.errors import DamagedBackupError, RefusedError

_PIECE = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LAST_LINE = b"-- PostgreSQL database dump complete"
_ROWS_END = b"\n\\."

# As in psqlscan.l. Quantifiers are possessive: a quote that the text read so far does not close is no token at all,
# never a shorter one.
_SPACE = rb"[ \t\n\r\f\v]+"
_STRING = rb"'[^']*+(?:''[^']*+)*+'"
_NAME = rb'"[^"]*+(?:""[^"]*+)*+"'
_WORD = rb"(?![eE]')[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+"
_NUMBER = rb"""[0-9][0-9A-Za-z_.]*+(?!['"$])|\$[0-9]++(?!['"$\w])"""
_SIGN = rb"""-(?!-)|/(?!\*)|[^ \t\n\r\f\v'"$;()\\A-Za-z0-9_\x80-\xff/-]"""
_KINDS = {
    b"space": _SPACE,
    b"remark": rb"--[^\n\r]*",
    b"comment": rb"/\*",
    b"escaped": rb"[eE]'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'",
    b"quoted": _STRING + b"|" + _NAME,
    b"dollars": rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?\$",
    b"word": _WORD,
    b"end": b";",
    b"open": rb"\(",
    b"close": rb"\)",
    b"command": rb"\\[^\n\r]*",
    b"other": b"(?:" + _NUMBER + b"|" + _SIGN + b")++",
}
_TOKEN = re.compile(b"|".join(b"(?P<%s>%s)" % kind for kind in _KINDS.items()), re.DOTALL)
# A whole INSERT of plain values, in one go: there may be one for each row.
_PLAIN = b"|".join([_SPACE, _STRING, _NAME, _WORD, _NUMBER, _SIGN])
_IN_PARENTHESES = rb"\((?:%s|\((?:%s)*+\))*+\)" % (_PLAIN, _PLAIN)
_INSERT = re.compile(rb"(?P<insert>INSERT INTO (?:%s|%s)*+;)" % (_PLAIN, _IN_PARENTHESES))
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_RESTRICT = re.compile(rb"\\(un)?restrict [A-Za-z0-9]+")
_END_OF_LINE = re.compile(rb"\r?\n")
_SHORT = re.compile(rb"(['\"])\w*\1")

_WORDS_OF_A_ROUTINE = 4
_ROUTINE = re.compile(r"create (or replace )?(function|procedure)\b")
_BEYOND = re.compile(
    r"(create|alter|drop) (database|role|user(?! mapping)|group|tablespace)\b|alter system\b|(drop|reassign) owned\b"
    r"|(comment on|security label .*on) (database|role|tablespace)\b"
    r"|(grant|revoke) (?!.* on )|(grant|revoke) .* on (database|tablespace|parameter)\b"
)
# Settings by which psql reads quotes otherwise than here.
_READS_OTHERWISE = re.compile(r"set (session |local )?(standard_conforming_strings|client_encoding|names)\b")
_READS_ALIKE = re.compile(
    r"set standard_conforming_strings on"
    r"|set client_encoding '(utf8|sql_ascii|latin\d+|win(?!9)\d+|iso_8859_\d|koi8[ru]|euc_\w+|mule_internal)'"
)


class _Statement:
    """What has been read of a statement: its words outside parentheses, and how deep it is in them."""

    def __init__(self) -> None:
        self.begun = False
        self.words: list[str] = []
        self.depth = 0
        self.body = 0  # in how many BEGIN and CASE of a routine it is, as psql counts them
        self._first: list[str] = []

    def add(self, word: str) -> None:
        if len(self._first) < _WORDS_OF_A_ROUTINE:
            self._first.append(word)
        if self.depth:
            return
        self.words.append(word)
        if word in ("begin", "case", "end") and _ROUTINE.match(" ".join(self._first)):
            self._count(word)

    def add_quoted(self, text: bytes) -> None:
        if not self.depth:
            self.words.append(text.decode().lower() if _SHORT.fullmatch(text) else "''")

    def _count(self, word: str) -> None:
        if word == "begin" or (word == "case" and self.body):
            self.body += 1
        elif word == "end" and self.body:
            self.body -= 1

    def problem(self) -> str | None:
        """Return what is not allowed in it, as a phrase, None where all is."""
        text = " ".join(self.words)
        if found := _BEYOND.match(text):
            return f"{' '.join(found[0].upper().split()[:6])} reaches beyond the database that the file is loaded into"
        if _READS_OTHERWISE.match(text) and not _READS_ALIKE.fullmatch(text):
            return f"{' '.join(self.words[:3]).upper()} changes how quotes are read"
        if self.words[:1] == ["copy"] and self.body:
            return "COPY in the body of a routine is not understood"
        return None

    def rows_follow(self) -> bool:
        """Say whether it is a COPY that reads the lines after it."""
        if self.words[:1] != ["copy"]:
            return False
        from_or_to = next((place for place, word in enumerate(self.words) if word in ("from", "to")), 0)
        return self.words[from_or_to : from_or_to + 2] in (["from", "stdin"], ["from", "stdout"])  # one is the other


class PlainSql:
    """The text that `read` gives, which messages call `name`."""

    def __init__(self, name: str, read: Callable[[int], bytes]) -> None:
        self._name = name
        self._read = read
        self._text = b""
        self._place = 0
        self._judged = 0
        self._lines = 1
        self._ended = False
        self._out: list[bytes] = []
        self._statement = _Statement()
        self._after_escaped = False
        self._complete = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the text, each statement after it was judged.

        Raises RefusedError for what must not be in it, DamagedBackupError where it is cut short or no SQL.
        """
        self._begin()
        while token := self._next():
            kind = token.lastgroup
            if kind == "insert":
                self._judged = self._place
            elif kind == "end":
                yield from self._end_statement()
            elif kind not in ("space", "remark"):
                self._take(str(kind), token[0])
            self._note(str(kind), token[0])
            yield from self._ready()
        self._check_end()
        yield self._text[self._judged :]

    def _begin(self) -> None:
        self._have(len(_BYTE_ORDER_MARK))
        if self._text.startswith(_BYTE_ORDER_MARK):
            raise self._refused("a byte order mark at its beginning is not from pg_dump")

    def _next(self) -> re.Match[bytes] | None:
        """Return the next token, None at the end. One that reaches the end of what was read may be longer."""
        while True:
            if self._place == len(self._text) and not self._read_on():
                return None
            token = self._match()
            if token and (self._ended or token.end() < len(self._text)):
                self._place = token.end()
                return token
            if not self._read_on() and token is None:
                raise self._not_understood()

    def _match(self) -> re.Match[bytes] | None:
        found = _INSERT.match(self._text, self._place) if not self._statement.begun else None
        return found or _TOKEN.match(self._text, self._place)

    def _read_on(self) -> bool:
        """Read more behind what was not judged yet; say whether there was any."""
        piece = self._read(max(_PIECE, len(self._text) - self._judged))  # so that a long literal is not joined often
        if b"\0" in piece:
            raise DamagedBackupError(f"{self._name} is no SQL: there are zero bytes in it.")
        judged, rest = self._text[: self._judged], self._text[self._judged :]
        self._out.append(judged)
        self._lines += judged.count(b"\n")
        self._text = rest + piece
        self._place -= self._judged
        self._judged = 0
        self._ended = not piece
        return bool(piece)

    def _ready(self) -> Iterator[bytes]:
        if self._out:
            yield b"".join(self._out)
            self._out.clear()

    def _take(self, kind: str, text: bytes) -> None:
        statement = self._statement
        if kind == "command":
            self._take_command(text)
        elif kind == "comment":
            self._skip_comment()
        else:
            statement.begun = True
        if kind == "word":
            statement.add(text.decode(errors="replace").lower())
        elif kind in ("quoted", "escaped"):
            self._take_quoted(text)
        elif kind == "open":
            statement.depth += 1
        elif kind == "close":
            statement.depth = max(0, statement.depth - 1)
        elif kind == "dollars":
            self._skip_behind(text)

    def _note(self, kind: str, text: bytes) -> None:
        """Remember what the next tokens depend on."""
        if kind == "remark" and text == _LAST_LINE:
            self._complete = not self._statement.begun
        elif kind not in ("space", "remark"):
            self._after_escaped = kind == "escaped"
            self._complete = self._complete and kind == "command"

    def _take_quoted(self, text: bytes) -> None:
        if self._after_escaped and text.startswith(b"'"):
            raise self._refused("a string that goes on after a line break is not from pg_dump")
        self._statement.add_quoted(text)

    def _skip_behind(self, mark: bytes) -> None:
        """Go on behind the next `mark`."""
        place = self._place
        while (found := self._text.find(mark, place)) < 0:
            place = max(self._place, len(self._text) - len(mark)) - self._judged
            if not self._read_on():
                raise self._not_understood()
        self._place = found + len(mark)

    def _skip_comment(self) -> None:
        """Go on behind a comment; there may be others inside it."""
        depth = 1
        while depth:
            found = _COMMENT_EDGE.search(self._text, self._place)
            if found is None:
                self._place = max(self._place, len(self._text) - 1)
                if not self._read_on():
                    raise self._not_understood()
            else:
                depth += 1 if found[0] == b"/*" else -1
                self._place = found.end()

    def _take_command(self, text: bytes) -> None:
        r"""Accept \restrict and \unrestrict, which pg_dump writes so that psql obeys no other one."""
        if self._statement.begun or not _RESTRICT.fullmatch(text):
            raise self._refused(f"{text[:20].decode(errors='replace')} is a command to psql itself")

    def _end_statement(self) -> Iterator[bytes]:
        statement = self._statement
        if statement.depth:
            return
        if problem := statement.problem():
            raise self._refused(problem)
        if statement.body:  # what it holds is judged one by one, but psql hands it on as a whole
            statement.words.clear()
            return
        self._judged = self._place
        self._statement = _Statement()
        if statement.rows_follow():
            yield from self._rows()

    def _rows(self) -> Iterator[bytes]:
        """Hand on the rows of a COPY, up to the line that ends them."""
        if not self._at_end_of_line():
            raise self._refused("something stands behind a COPY in its line")
        place = self._place
        while not (end := self._end_of_rows(place)):
            self._judged = max(self._place, len(self._text) - len(_ROWS_END) - 2)
            self._place = self._judged
            if not self._read_on():
                raise DamagedBackupError(f"{self._name} ends in the middle of the rows of a table.", remedy=_AGAIN)
            yield from self._ready()
            place = self._place
        self._place = self._judged = end

    def _have(self, size: int) -> None:
        """Have so many bytes at hand, if there are."""
        while len(self._text) - self._place < size and self._read_on():
            pass

    def _at_end_of_line(self) -> bool:
        self._have(2)
        return _END_OF_LINE.match(self._text, self._place) is not None

    def _end_of_rows(self, place: int) -> int:
        r"""Return where the line `\.` ends, 0 where there is none in what was read."""
        while (place := self._text.find(_ROWS_END, place)) >= 0:
            place += len(_ROWS_END)
            if found := _END_OF_LINE.match(self._text, place):
                return found.end()
        return 0

    def _check_end(self) -> None:
        if self._statement.begun or not self._complete:
            raise DamagedBackupError(
                f'{self._name} is cut short, or not from pg_dump: its end is not "{_LAST_LINE.decode()}".',
                remedy=_AGAIN,
            )

    def _refused(self, why: str) -> RefusedError:
        return RefusedError(f"{self._name}, line {self._line()}: {why}.", remedy=_AGAIN)

    def _not_understood(self) -> DamagedBackupError:
        return DamagedBackupError(
            f"{self._name}, line {self._line()}: what begins there has no end, or is not from pg_dump.", remedy=_AGAIN
        )

    def _line(self) -> int:
        return self._lines + self._text.count(b"\n", 0, self._place)


_AGAIN = "Make it again with pg_dump, without --create, best as an archive (pg_dump -Fc); or load it by hand elsewhere."
