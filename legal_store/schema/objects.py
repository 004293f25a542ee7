"""What belongs to a table or a schema besides columns. Each can say itself in SQL; names are always given."""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import SQL


def Default(expression: str) -> SQL:  # noqa: N802  (reads as the SQL word, as in Peewee)
    """Return the column constraint DEFAULT `expression`, an SQL expression."""
    return SQL(f"DEFAULT {expression}")


def Generated(expression: str) -> SQL:  # noqa: N802
    """Return the column constraint that makes PostgreSQL compute the column from others of its row."""
    return SQL(f"GENERATED ALWAYS AS ({expression}) STORED")


class Check(NamedTuple):
    """A condition that every row of the table meets."""

    name: str
    condition: str

    def sql(self) -> str:
        return f'CONSTRAINT "{self.name}" CHECK ({self.condition})'


class Unique(NamedTuple):
    """Columns of which no two rows have the same values.

    In a table of a firm the firm is one of them, else `across_firms` says why not.
    """

    name: str
    columns: tuple[str, ...]
    across_firms: str = ""

    def sql(self) -> str:
        return f'CONSTRAINT "{self.name}" UNIQUE ({", ".join(self.columns)})'


class PrimaryKey(NamedTuple):
    """The columns that identify a row."""

    name: str
    columns: tuple[str, ...]

    def sql(self) -> str:
        return f'CONSTRAINT "{self.name}" PRIMARY KEY ({", ".join(self.columns)})'


class Index(NamedTuple):
    """An index; `columns` are SQL: a column or an expression, with operator class and order where needed."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    using: str = "btree"
    where: str = ""
    options: str = ""

    def create(self, table: str) -> str:
        return " ".join(
            filter(
                None,
                (
                    f'CREATE {"UNIQUE " * self.unique}INDEX "{self.name}" ON "{table}"',
                    f"USING {self.using} ({', '.join(self.columns)})",
                    f"WITH ({self.options})" * bool(self.options),
                    f"WHERE {self.where}" * bool(self.where),
                ),
            )
        )

    def drop(self) -> str:
        return f'DROP INDEX "{self.name}"'


class TextSearchConfiguration(NamedTuple):
    """How text becomes lexemes: as the configuration `copied`, but words go through `dictionaries`."""

    name: str
    copied: str
    dictionaries: str

    def create(self) -> str:
        return (
            f'CREATE TEXT SEARCH CONFIGURATION "{self.name}" (COPY = {self.copied});\n'
            f'ALTER TEXT SEARCH CONFIGURATION "{self.name}"'
            f" ALTER MAPPING FOR hword, hword_part, word WITH {self.dictionaries}"
        )

    def drop(self) -> str:
        return f'DROP TEXT SEARCH CONFIGURATION "{self.name}"'


class Function(NamedTuple):
    """A function in the database; `signature` is its name with its arguments.

    Everyone may call it, unless `service_only`: then the owner and the role of services, and nobody else.
    """

    signature: str
    returns: str
    body: str
    language: str = "plpgsql"
    attributes: str = ""
    service_only: bool = False

    def create(self) -> str:
        attributes = f" {self.attributes}" if self.attributes else ""
        return (
            f"CREATE OR REPLACE FUNCTION {self.signature} RETURNS {self.returns}\n"
            f"LANGUAGE {self.language}{attributes} AS $function$\n{self.body.strip()}\n$function$"
        )

    def drop(self) -> str:
        return f"DROP FUNCTION {self.signature}"

    def limit_to(self, role: str) -> str:
        """Return the statements that take the function from everyone and give it to `role`.

        A trigger's function is given to nobody: triggers run it without asking, and whoever may name it in a
        trigger of his own runs it with its owner's rights.
        """
        revoke = f"REVOKE EXECUTE ON FUNCTION {self.signature} FROM PUBLIC"
        if self.returns == "trigger":
            return revoke
        return f'{revoke};\nGRANT EXECUTE ON FUNCTION {self.signature} TO "{role}"'


class Trigger(NamedTuple):
    """A trigger: `event` as in "AFTER INSERT", `function` as in "touch()"."""

    name: str
    event: str
    function: str
    each: str = "ROW"
    referencing: str = ""
    when: str = ""

    def create(self, table: str) -> str:
        return "\n    ".join(
            filter(
                None,
                (
                    f'CREATE TRIGGER "{self.name}" {self.event} ON "{table}"',
                    f"REFERENCING {self.referencing}" * bool(self.referencing),
                    f"FOR EACH {self.each}",
                    f"WHEN ({self.when})" * bool(self.when),
                    f"EXECUTE FUNCTION {self.function}",
                ),
            )
        )

    def drop(self, table: str) -> str:
        return f'DROP TRIGGER "{self.name}" ON "{table}"'


class Policy(NamedTuple):
    """A row-level security policy for all commands and all roles but the owner: `using` for rows seen, `check` for
    rows written."""

    name: str
    using: str
    check: str

    def create(self, table: str) -> str:
        return f'CREATE POLICY "{self.name}" ON "{table}" USING ({self.using}) WITH CHECK ({self.check})'

    def drop(self, table: str) -> str:
        return f'DROP POLICY "{self.name}" ON "{table}"'


class View(NamedTuple):
    """A view. It runs with the rights of who asks, so that row-level security holds through it."""

    name: str
    query: str

    def create(self) -> str:
        return f'CREATE VIEW "{self.name}" WITH (security_invoker = true) AS\n{self.query.strip()}'

    def drop(self) -> str:
        return f'DROP VIEW "{self.name}"'


class Comment(NamedTuple):
    """What PostgreSQL's tools show about a column, or, without `column`, about the table."""

    text: str
    column: str = ""

    def create(self, table: str) -> str:
        text = self.text.replace("'", "''")
        on = f'COLUMN "{table}"."{self.column}"' if self.column else f'TABLE "{table}"'
        return f"COMMENT ON {on} IS '{text}'"


class Renamed(NamedTuple):
    """A column that had another name until the next migration, or, without `now`, the table that had.

    Without this, or an answer to the question, a rename looks like a loss and a gain.
    """

    was: str
    now: str = ""


class Schema(NamedTuple):
    """All that the models declare, in the order in which it can be created."""

    extensions: tuple[str, ...]
    service_role: str
    functions: tuple[Function, ...]
    models: tuple[Any, ...]
    views: tuple[View, ...]
    text_search: tuple[TextSearchConfiguration, ...] = ()
