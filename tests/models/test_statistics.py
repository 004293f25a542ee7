"""Running totals equal a full aggregate of the log, whatever was done to it and by how many."""

from __future__ import annotations

import io
import random
import threading
from contextlib import closing
from typing import Any

import psycopg2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legal_store.config import Url

SKILLS = """
SELECT count(*) FROM skills AS s LEFT JOIN (
    SELECT skill_id, count(*) AS uses, round(100.0 * count(*) FILTER (WHERE success) / count(*), 2) AS score,
           round(avg(tokens_saved) FILTER (WHERE success), 4) AS saved
    FROM skill_usage_logs GROUP BY skill_id
) AS l ON l.skill_id = s.id
WHERE (s.usage_count, s.effectiveness_score, s.token_savings_avg)
      IS DISTINCT FROM (coalesce(l.uses, 0), coalesce(l.score, 0), coalesce(l.saved, 0))
"""
TEMPLATES = """
SELECT count(*) FROM romanian_templates AS t LEFT JOIN (
    SELECT template_id, count(*) AS uses, round(100.0 * avg(user_satisfaction_score) / 5, 2) AS score
    FROM template_usage_logs GROUP BY template_id
) AS l ON l.template_id = t.id
WHERE (t.usage_count, t.effectiveness_score) IS DISTINCT FROM (coalesce(l.uses, 0), coalesce(l.score, 0))
"""


def run(connection: Any, statement: str, values: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def make_skills(connection: Any, count: int) -> list[str]:
    statement = (
        "INSERT INTO skills (skill_id, display_name) SELECT 's' || n, 'S' FROM generate_series(1, %s) n RETURNING id"
    )
    return [row[0] for row in run(connection, statement, (count,))]


def assert_exact(connection: Any) -> None:
    assert run(connection, SKILLS) == [(0,)]
    assert run(connection, TEMPLATES) == [(0,)]


def test_a_hundred_thousand_logs_by_copy(connection: Any) -> None:
    skills = make_skills(connection, 7)
    chance = random.Random(7)
    lines = (
        f"{chance.choice(skills)}\t{chance.randint(1, 900)}\t{chance.randint(1, 9_000)}\t{chance.randint(-50, 4_000)}\t"
        f"{chance.random() < 0.8}\n"
        for _ in range(100_000)
    )
    with connection.cursor() as cursor:
        columns = ("skill_id", "execution_time_ms", "tokens_used", "tokens_saved", "success")
        cursor.copy_from(io.StringIO("".join(lines)), "skill_usage_logs", columns=columns)
    assert run(connection, "SELECT sum(usage_count) FROM skills") == [(100_000,)]
    assert_exact(connection)


INSERT = """
INSERT INTO skill_usage_logs (skill_id, execution_time_ms, tokens_used, tokens_saved, success)
SELECT s.id, 1, 1, n, n %% 3 <> 0
FROM (SELECT id FROM skills ORDER BY id OFFSET %(skill)s LIMIT 1) AS s, generate_series(1, %(rows)s) AS n
"""
STEPS = st.lists(
    st.one_of(
        st.builds(lambda skill, rows: (INSERT, {"skill": skill, "rows": rows}), st.integers(0, 2), st.integers(0, 9)),
        st.sampled_from(
            [
                ("UPDATE skill_usage_logs SET success = NOT success WHERE tokens_saved % 2 = 0", None),
                ("UPDATE skill_usage_logs SET tokens_saved = tokens_saved + 3", None),
                ("UPDATE skill_usage_logs SET skill_id = (SELECT id FROM skills ORDER BY id LIMIT 1)", None),
                ("UPDATE skill_usage_logs SET metadata = '{\"x\": 1}'", None),
                ("DELETE FROM skill_usage_logs WHERE tokens_saved > 4", None),
                ("TRUNCATE skill_usage_logs", None),
                ("DELETE FROM skills WHERE id = (SELECT id FROM skills ORDER BY id DESC LIMIT 1)", None),
            ]
        ),
    ),
    max_size=8,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_statements(connection: Any, steps: list[Any]) -> None:
    run(connection, "TRUNCATE skills CASCADE")
    make_skills(connection, 3)
    for statement, values in steps:
        run(connection, statement, values)
        assert_exact(connection)


def test_sessions_that_load_the_same_skills_in_other_orders_neither_deadlock_nor_lose_a_count(
    connection: Any, database_url: Url
) -> None:
    skills = make_skills(connection, 6)

    def load(seed: int) -> None:
        chance = random.Random(seed)
        with closing(psycopg2.connect(database_url)) as session:
            for _ in range(10):
                chance.shuffle(skills_of := list(skills))
                with session, session.cursor() as cursor:
                    cursor.execute(
                        "INSERT INTO skill_usage_logs (skill_id, execution_time_ms, tokens_used, success)"
                        " SELECT s::uuid, 1, 1, true FROM unnest(%s) AS s",
                        (skills_of,),
                    )

    threads = [threading.Thread(target=load, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(connection, "SELECT DISTINCT usage_count FROM skills") == [(60,)]
    assert_exact(connection)


def test_a_rolled_back_load_leaves_no_trace(connection: Any, database_url: Url) -> None:
    make_skills(connection, 1)
    with closing(psycopg2.connect(database_url)) as session:
        run(session, INSERT, {"skill": 0, "rows": 5})
        session.rollback()
    assert run(connection, "SELECT usage_count FROM skills") == [(0,)]


def test_the_satisfaction_with_templates(connection: Any) -> None:
    run(
        connection,
        "INSERT INTO romanian_templates (template_name_ro, template_slug, template_structure) VALUES ('C', 'c', '{}')",
    )
    for score in (5, 4, None, 3):
        run(
            connection,
            "INSERT INTO template_usage_logs (template_id, generation_time_ms, user_satisfaction_score)"
            " SELECT id, 1, %s FROM romanian_templates",
            (score,),
        )
    assert run(connection, "SELECT usage_count, effectiveness_score::text FROM romanian_templates") == [(4, "80.00")]
    run(connection, "DELETE FROM template_usage_logs WHERE user_satisfaction_score = 3")
    assert_exact(connection)
