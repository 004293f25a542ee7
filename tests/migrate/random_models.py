"""Random models and random changes of them, reproducible by a seed."""

from __future__ import annotations

import copy
import random
from enum import StrEnum
from typing import Any

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
    UUIDField,
)
from pgvector.peewee import HalfVectorField, VectorField

from legal_store.models.base import Record
from legal_store.schema.fields import EnumField, JsonField, ListField, ReferenceField, TimestampField
from legal_store.schema.objects import (
    Check,
    Comment,
    Default,
    Function,
    Generated,
    Index,
    Renamed,
    Schema,
    Trigger,
    Unique,
    View,
)

WORDS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "mu",
    "nu",
    "rho",
    "sigma",
)
TYPES = {
    "text": (lambda o: TextField(**o), ["''", "'it''s'"]),
    "char20": (lambda o: CharField(max_length=20, index=False, **o), ["'x'"]),
    "char90": (lambda o: CharField(max_length=90, index=False, **o), ["'x'"]),
    "int": (lambda o: IntegerField(**o), ["0", "7"]),
    "small": (lambda o: SmallIntegerField(**o), ["1"]),
    "big": (lambda o: BigIntegerField(**o), ["0"]),
    "bool": (lambda o: BooleanField(**o), ["true", "false"]),
    "numeric5": (lambda o: DecimalField(max_digits=5, decimal_places=2, **o), ["0"]),
    "numeric15": (lambda o: DecimalField(max_digits=15, decimal_places=4, **o), ["1.5"]),
    "double": (lambda o: DoubleField(**o), ["0.5"]),
    "date": (lambda o: DateField(**o), ["CURRENT_DATE"]),
    "moment": (lambda o: TimestampField(**o), ["now()"]),
    "json": (lambda o: JsonField(**o), ["'{}'"]),
    "list": (lambda o: ListField(TextField, **o), []),
    "uuid": (lambda o: UUIDField(**o), ["uuid_generate_v4()"]),
    "vector8": (lambda o: VectorField(dimensions=8, **o), []),
    "vector16": (lambda o: VectorField(dimensions=16, **o), []),
    "half8": (lambda o: HalfVectorField(dimensions=8, **o), []),
}
NUMBERS = ("int", "small", "big", "numeric5", "numeric15")

Spec = dict[str, Any]


def random_spec(rng: random.Random) -> Spec:
    """Return the description of a few tables, functions and views."""
    spec: Spec = {"tables": {}, "views": {}, "functions": {"touch": 1}, "renamed": []}
    for _ in range(rng.randint(2, 4)):
        add_table(rng, spec)
    for _ in range(rng.randint(3, 10)):
        rng.choice(CHANGES)(rng, spec)
    spec["renamed"] = []
    return tidy(spec)


def changed(rng: random.Random, spec: Spec) -> Spec:
    """Return a copy of `spec` with one to four random changes."""
    result = copy.deepcopy(spec)
    result["renamed"] = []
    for _ in range(rng.randint(1, 4)):
        rng.choice(CHANGES)(rng, result)
    return tidy(result)


def schema_of(spec: Spec) -> Schema:
    """Return the models, functions and views that `spec` describes."""
    models: dict[str, Any] = {}
    tables = dict(spec["tables"])
    while tables:
        ready = [name for name, table in tables.items() if all(r[0] in models for r in table["references"].values())]
        for name in ready:
            models[name] = model_of(spec, name, tables.pop(name), models)
    functions = [
        Function(f"{name}()", "trigger", f"\nBEGIN\n    -- version {version}\n    RETURN NEW;\nEND\n")
        for name, version in spec["functions"].items()
    ]
    views = [
        View(name, f"SELECT {', '.join(columns)} FROM {table}") for name, (table, columns) in spec["views"].items()
    ]
    return Schema((), "legal_store_service", tuple(functions), tuple(models.values()), tuple(views))


def model_of(spec: Spec, name: str, table: dict[str, Any], models: dict[str, Any]) -> Any:
    body: dict[str, Any] = {"service_rights": table["rights"], "__module__": __name__}
    for field, (kind, null, default) in table["fields"].items():
        body[field] = field_of(kind, null, default)
    for field, (other, action) in table["references"].items():
        body[field] = ReferenceField(models[other], null=True, on_delete=action, backref=f"{name}_{field}_rows")
    declared = [build(name, item) for item in table["declared"]]
    declared += [Renamed(*item[1:]) for item in spec["renamed"] if item[0] == name]
    body["Meta"] = type("Meta", (), {"table_name": name, "declared": tuple(declared)})
    return type(name.capitalize(), (Record,), body)


def field_of(kind: str, null: bool, default: str | None) -> Any:
    if kind.startswith("enum:"):
        members = StrEnum("Members", {value.upper(): value for value in kind[5:].split(",")})
        return EnumField(members, null=null)
    if kind.startswith("generated:"):
        return IntegerField(null=null, constraints=[Generated(kind[10:])])
    make, _ = TYPES[kind]
    options: dict[str, Any] = {"null": null}
    if default is not None:
        options["constraints"] = [Default(default)]
    return make(options)


def build(table: str, item: tuple[Any, ...]) -> Any:
    kind, name, columns, more = item
    full = f"{table}_{name}"
    if kind == "check":
        return Check(full, f"{columns[0]} IS NOT NULL OR {more}")
    if kind == "unique":
        return Unique(full, columns)
    if kind == "trigger":
        return Trigger(full, f"BEFORE {more}", "touch()")
    if kind == "comment":
        return Comment(more, columns[0] if columns else "")
    return Index(full, tuple(columns), **more)


def tidy(spec: Spec) -> Spec:
    """Take out what refers to something that is gone."""
    for table in spec["tables"].values():
        table["references"] = {k: v for k, v in table["references"].items() if v[0] in spec["tables"]}
        known = {"id", *table["fields"], *(f"{name}_id" for name in table["references"])}
        for field, (kind, _, _) in list(table["fields"].items()):
            source = kind.removeprefix("generated:").partition(" ")[0] if kind.startswith("generated:") else None
            if source is not None and (source not in known or table["fields"][source][0] not in NUMBERS):
                del table["fields"][field]
                known.discard(field)
        table["declared"] = [item for item in table["declared"] if fits(item, table, known)]
    spec["views"] = {
        name: (table, [c for c in columns if c == "id" or c in spec["tables"][table]["fields"]])
        for name, (table, columns) in spec["views"].items()
        if table in spec["tables"]
    }
    return spec


def fits(item: tuple[Any, ...], table: dict[str, Any], known: set[str]) -> bool:
    kind, _, columns, more = item
    if kind == "index":
        where = more.get("where", "").partition(" ")[0]
        names = [column.partition("(")[2].partition(")")[0] or column.partition(" ")[0] for column in columns]
        if not set(names) <= known or (where and where not in known):
            return False
        kinds = [table["fields"].get(name, ("uuid",))[0] for name in names]
        if more.get("using") == "gin":
            return kinds[0] == ("json" if "gin_trgm_ops" not in columns[0] else "text")
        if more.get("using") == "hnsw":
            return kinds[0].startswith("half" if "halfvec" in columns[0] else "vector")
        if columns[0].startswith("lower("):
            return kinds[0] in ("text", "char20", "char90")
        return not any(kind.startswith(("vector", "half", "json")) for kind in kinds)
    kinds = [table["fields"].get(name, ("uuid",))[0] for name in columns]
    if kind == "unique" and any(k.startswith(("vector", "half", "json")) for k in kinds):
        return False
    return set(columns) <= known


def add_table(rng: random.Random, spec: Spec) -> None:
    name = rng.choice([f"{word}s" for word in WORDS if f"{word}s" not in spec["tables"]])
    spec["tables"][name] = {"fields": {}, "references": {}, "declared": [], "rights": "SELECT, INSERT"}
    for _ in range(rng.randint(2, 5)):
        add_field(rng, spec, name)


def drop_table(rng: random.Random, spec: Spec) -> None:
    if len(spec["tables"]) > 2:
        del spec["tables"][some_table(rng, spec)]


def add_field(rng: random.Random, spec: Spec, name: str | None = None) -> None:
    table = spec["tables"][name or some_table(rng, spec)]
    field = rng.choice([word for word in WORDS if word not in table["fields"] and word not in table["references"]])
    numbers = [known for known, (kind, _, _) in table["fields"].items() if kind in NUMBERS]
    dice = rng.random()
    if dice < 0.12:
        table["fields"][field] = ("enum:" + ",".join(rng.sample(("a", "b", "c", "d"), 2)), rng.random() < 0.5, None)
    elif dice < 0.24 and numbers:
        table["fields"][field] = (f"generated:{rng.choice(numbers)} + {rng.randint(1, 3)}", True, None)
    else:
        kind = rng.choice(sorted(TYPES))
        defaults = TYPES[kind][1]
        table["fields"][field] = (kind, rng.random() < 0.6, rng.choice([*defaults, None]))


def drop_field(rng: random.Random, spec: Spec) -> None:
    table = spec["tables"][some_table(rng, spec)]
    if len(table["fields"]) > 1:
        del table["fields"][rng.choice(sorted(table["fields"]))]


def change_type(rng: random.Random, spec: Spec) -> None:
    table, field = some_field(rng, spec)
    kind, null, _ = table["fields"][field]
    if not kind.startswith(("enum", "generated")):
        table["fields"][field] = (rng.choice(sorted(TYPES)), null, None)


def change_null(rng: random.Random, spec: Spec) -> None:
    table, field = some_field(rng, spec)
    kind, null, default = table["fields"][field]
    table["fields"][field] = (kind, not null, default)


def change_default(rng: random.Random, spec: Spec) -> None:
    table, field = some_field(rng, spec)
    kind, null, _ = table["fields"][field]
    if kind in TYPES:
        table["fields"][field] = (kind, null, rng.choice([*TYPES[kind][1], None]))


def change_members(rng: random.Random, spec: Spec) -> None:
    table, field = some_field(rng, spec)
    kind, null, _ = table["fields"][field]
    if kind.startswith("enum:"):
        table["fields"][field] = ("enum:" + ",".join(sorted(rng.sample(("a", "b", "c", "d", "e"), 3))), null, None)


def change_computation(rng: random.Random, spec: Spec) -> None:
    for table in spec["tables"].values():
        for field, (kind, null, default) in table["fields"].items():
            if kind.startswith("generated:"):
                table["fields"][field] = (kind.partition(" + ")[0] + f" + {rng.randint(4, 9)}", null, default)
                return


def change_reference(rng: random.Random, spec: Spec) -> None:
    names = sorted(spec["tables"])
    name = rng.choice(names)
    table = spec["tables"][name]
    if table["references"] and rng.random() < 0.6:
        field = rng.choice(sorted(table["references"]))
        if rng.random() < 0.4:
            del table["references"][field]
        else:
            table["references"][field] = (table["references"][field][0], rng.choice(["CASCADE", "SET NULL", None]))
        return
    earlier = names[: names.index(name)]
    free = [word for word in WORDS if word not in table["fields"] and word not in table["references"]]
    if earlier:
        table["references"][rng.choice(free)] = (rng.choice(earlier), rng.choice(["CASCADE", "SET NULL", None]))


def change_declared(rng: random.Random, spec: Spec) -> None:
    name = some_table(rng, spec)
    table = spec["tables"][name]
    if table["declared"] and rng.random() < 0.5:
        position = rng.randrange(len(table["declared"]))
        old = table["declared"].pop(position)
        if rng.random() < 0.5:
            table["declared"].append((old[0], rng.choice(WORDS) + "_other", old[2], old[3]))
        return
    table["declared"].append(random_object(rng, table))
    names = [item[1] for item in table["declared"]]
    if len(names) != len(set(names)):
        table["declared"].pop()


def random_object(rng: random.Random, table: dict[str, Any]) -> tuple[Any, ...]:
    fields = sorted(table["fields"])
    column = rng.choice(fields)
    kind = table["fields"][column][0]
    name = f"{column}_{rng.choice(WORDS)}"
    dice = rng.random()
    if dice < 0.15:
        return "check", f"{name}_check", (column,), rng.choice(["true", "1 < 2"])
    if dice < 0.3:
        return "unique", f"{name}_key", tuple(rng.sample(fields, min(2, len(fields)))), None
    if dice < 0.4:
        event = rng.choice(["UPDATE", "INSERT OR UPDATE", f"UPDATE OF {column}"])
        return "trigger", f"{name}_touch", (column,), event
    if dice < 0.5:
        return "comment", f"{name}_comment", rng.choice([(column,), ()]), rng.choice(["what it is", "it's new"])
    if kind == "json":
        return "index", f"{name}_idx", (column,), {"using": "gin"}
    if kind == "text" and rng.random() < 0.5:
        return "index", f"{name}_idx", (f"{column} gin_trgm_ops",), {"using": "gin"}
    if kind.startswith(("vector", "half")):
        operators = "halfvec_cosine_ops" if kind.startswith("half") else "vector_cosine_ops"
        options = {"using": "hnsw", "options": rng.choice(["", "m = 8", "m = 16, ef_construction = 32"])}
        return "index", f"{name}_idx", (f"{column} {operators}",), options
    if kind in ("text", "char20", "char90") and rng.random() < 0.5:
        return "index", f"{name}_idx", (f"lower({column})",), {"unique": rng.random() < 0.5}
    more = {"unique": rng.random() < 0.2, "where": rng.choice(["", f"{column} IS NOT NULL"])}
    return "index", f"{name}_idx", (f"{column} {rng.choice(['DESC', 'ASC', 'DESC NULLS LAST'])}",), more


def change_view(rng: random.Random, spec: Spec) -> None:
    if spec["views"] and rng.random() < 0.4:
        del spec["views"][rng.choice(sorted(spec["views"]))]
        return
    name = some_table(rng, spec)
    columns = rng.sample(sorted(spec["tables"][name]["fields"]), 1)
    spec["views"][f"{rng.choice(WORDS)}_view"] = (name, ["id", *columns])


def change_function(rng: random.Random, spec: Spec) -> None:
    name = rng.choice(["touch", "extra"])
    spec["functions"][name] = rng.randint(1, 99)


def change_rights(rng: random.Random, spec: Spec) -> None:
    spec["tables"][some_table(rng, spec)]["rights"] = rng.choice(["SELECT", "SELECT, UPDATE", "SELECT, INSERT, DELETE"])


def rename_field(rng: random.Random, spec: Spec) -> None:
    name = some_table(rng, spec)
    table = spec["tables"][name]
    plain = [f for f, (kind, _, _) in table["fields"].items() if kind in TYPES]
    free = [word for word in WORDS if word not in table["fields"] and word not in table["references"]]
    if not plain or any(item[0] == name for item in spec["renamed"]):
        return
    was, now = rng.choice(plain), rng.choice(free)
    table["fields"] = {now if f == was else f: v for f, v in table["fields"].items()}
    spec["renamed"].append((name, was, now))


def rename_table(rng: random.Random, spec: Spec) -> None:
    was = some_table(rng, spec)
    free = [f"{word}s" for word in WORDS if f"{word}s" not in spec["tables"]]
    now = rng.choice(free)
    if any(item[0] == was for item in spec["renamed"]):
        return
    spec["tables"] = {now if name == was else name: table for name, table in spec["tables"].items()}
    for table in spec["tables"].values():
        table["references"] = {f: (now if o == was else o, a) for f, (o, a) in table["references"].items()}
    spec["views"] = {v: (now if t == was else t, c) for v, (t, c) in spec["views"].items()}
    spec["renamed"].append((now, was))


def some_table(rng: random.Random, spec: Spec) -> str:
    return rng.choice(sorted(spec["tables"]))


def some_field(rng: random.Random, spec: Spec) -> tuple[dict[str, Any], str]:
    table = spec["tables"][some_table(rng, spec)]
    return table, rng.choice(sorted(table["fields"]))


CHANGES = (
    add_table,
    drop_table,
    add_field,
    add_field,
    drop_field,
    change_type,
    change_type,
    change_null,
    change_default,
    change_members,
    change_computation,
    change_reference,
    change_reference,
    change_declared,
    change_declared,
    change_declared,
    change_view,
    change_function,
    change_rights,
    rename_field,
    rename_table,
)
