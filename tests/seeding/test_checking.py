"""A wrong seed set is refused before anything is written, with all that is wrong with it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from legal_store.errors import SeedError, WrongUseError
from legal_store.seeding import SeedSet, read_seed_set

NOW = datetime(2025, 11, 20, 10, 30)
FIRM = '[[firms]]\nname = "A"\nvat_id = "RO1"\n'
CLIENT = '[[clients]]\nname = "C"\n'
CASE = '[[cases]]\ncase_number = "K-1"\ntitle = "T"\nclient = "C"\ntype = "Civil"\nopened_date = 2024-01-15\n'


def read(folder: Path, **files: str) -> SeedSet:
    (folder / "mine").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "mine" / f"{name}.toml").write_text(text, "utf-8")
    return read_seed_set(folder, "mine", NOW)


def refused(folder: Path, **files: str) -> str:
    with pytest.raises(SeedError) as caught:
        read(folder, **files)
    assert "nothing was written" in caught.value.remedy
    return caught.value.message


def test_a_good_set(tmp_path: Path) -> None:
    rows = read(tmp_path, a=CASE, b=CLIENT + FIRM).rows
    assert rows["cases"][0].values["client"] == rows["clients"][0].id
    assert rows["cases"][0].values["firm"] == rows["firms"][0].id


def test_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    message = refused(
        tmp_path,
        one=FIRM + CLIENT + CASE.replace("Civil", "Civl") + 'clientt = "C"\n',
        two='[[task]]\ntitle = "x"\n[[tasks]]\ncase = "K-2"\ntask_type = "Research"\ndue_date = "tomorrow"\n',
    )
    assert message.startswith('The seed set "mine" has 6 problems:\n')
    for line in (
        'one.toml, [[cases]] number 1: "K-1": type = "Civl" is not allowed. It must be one of Civil, Criminal, ',
        'one.toml, [[cases]] number 1: "K-1": there is no column "clientt" to fill. Did you mean "client"?',
        'two.toml, [[task]]: there is no such table. Did you mean "tasks"?',
        "two.toml, [[tasks]] number 1: title is missing. Add a line title = …",
        'two.toml, [[tasks]] number 1: due_date = "tomorrow" is not allowed. It must be a date such as 2024-03-15',
        'two.toml, [[tasks]] number 1: case = "K-2" names no rows of cases. Write the case_number of one. '
        'Did you mean "K-1"?',
    ):
        assert line in message


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("value = true", "value = True is not allowed. It must be a number"),
        ("value = nan", "value = NaN is not allowed. It must be a number"),
        ("colour = 1", "There are: case_number, title, client,"),
        ('metadata = "x"', "It must be a table { name = … } or a list"),
        ("metadata = { when = 2024-01-01 }", "It must be JSON, which has no dates"),
        ("next_hearing_date = 2024-01-01", "It must be a time with its zone"),
        ("description = 5", "It must be text, in quotes"),
        ('description = "a\\u0000b"', "It must be text, in quotes"),
        ('id = "6f1d6f0e-4c53-4f0a-9a53-1f6f5c0a7b01"', 'there is no column "id" to fill'),
        ("updated_at = 2024-01-15T10:00:00Z", 'there is no column "updated_at" to fill'),
        ('firm = "RO2"', 'firm = "RO2" names no rows of firms'),
    ],
)
def test_a_wrong_cell(tmp_path: Path, lines: str, complaint: str) -> None:
    assert complaint in refused(tmp_path, a=FIRM + CLIENT + CASE + lines + "\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[firms]]\nname = "A\n', "a.toml: this is not valid TOML: "),
        ('[firms]\nname = "A"\n', "a.toml, [[firms]]: this is not a list of rows. Begin each row with [[firms]]"),
        ("title = 1\n", "a.toml, [[title]]: there is no such table"),
        (FIRM + FIRM, '"RO1": number 1 of a.toml has the same vat_id. Rows of firms are told apart by these'),
        (CLIENT, "it is not clear whose row this is: the set has 0 firms. Add firm = …"),
        (
            '[[skills]]\nskill_id = "s"\ndisplay_name = "S"\nusage_count = 3\n',
            'there is no column "usage_count" to fill',
        ),
        (
            '[[document_patterns]]\npattern_type = "phrase"\npattern_text_ro = "x"\ndocument_sources = "a.pdf"\n',
            "It must be a list of names",
        ),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in refused(tmp_path, a=text)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "old.toml").write_bytes('[[firms]]\nname = "Mureș"\n'.encode("iso8859_16"))
    assert "old.toml: the file is not UTF-8 text. Save it as UTF-8." in refused(tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    assert len(read(tmp_path, a="\ufeff" + FIRM).rows["firms"]) == 1


def test_a_name_that_several_rows_have_is_ambiguous(tmp_path: Path) -> None:
    documents = "".join(
        f'[[documents]]\ncase = "K-1"\ntitle = "{title}"\ndocument_type = "Brief"\nfile_name = "x.pdf"\n'
        for title in "ab"
    )
    pattern = '[[document_patterns]]\npattern_type = "phrase"\npattern_text_ro = "x"\ndocument_sources = ["x.pdf"]\n'
    message = refused(tmp_path, a=FIRM + CLIENT + CASE + documents + pattern)
    assert 'document_sources = "x.pdf" names 2 rows of documents. Give each of them a file_name of its own.' in message


def test_with_two_firms_a_row_says_whose_it_is_and_refers_to_its_own_firm(tmp_path: Path) -> None:
    firms = FIRM + FIRM.replace("RO1", "RO2")
    rows = read(
        tmp_path,
        a=firms + "".join(part + f'firm = "{firm}"\n' for firm in ("RO1", "RO2") for part in (CLIENT, CASE)),
    ).rows
    assert [case.values["client"] for case in rows["cases"]] == [client.id for client in rows["clients"]]
    foreign = firms + CLIENT + 'firm = "RO1"\n' + CASE + 'firm = "RO2"\n'
    assert 'client = "C" names no rows of clients' in refused(tmp_path, a=foreign)
    assert "the set has 2 firms" in refused(tmp_path, a=firms + CLIENT)


def test_an_unknown_set_lists_those_there_are(tmp_path: Path) -> None:
    for name in ("demo", "empty", "large"):
        (tmp_path / name).mkdir()
    for name in ("demo", "large"):
        (tmp_path / name / "a.toml").touch()
    with pytest.raises(WrongUseError) as caught:
        read_seed_set(tmp_path, "dmo", NOW)
    assert 'no seed set "dmo"' in caught.value.message
    assert caught.value.remedy.startswith("There are: demo, large.")
    with pytest.raises(WrongUseError, match="There is none"):
        read_seed_set(tmp_path / "nowhere", "demo", NOW)


def test_ids_do_not_depend_on_the_day_or_on_the_order_of_rows(tmp_path: Path) -> None:
    first = read(tmp_path, a=FIRM + CLIENT + CASE).rows
    second = read(tmp_path, a=CASE.replace("2024-01-15", '"today-9d"') + CLIENT + FIRM).rows
    assert [row.id for rows in first.values() for row in rows] == [row.id for rows in second.values() for row in rows]
