"""What a PostgreSQL schema can say beyond Peewee, and the DDL that says it.

fields.py holds column types and keys; objects.py checks, indexes, triggers, functions and views; ddl.py turns
models and objects into statements; catalog.py reads back from PostgreSQL what is really there, snapshot.py in parts;
change/ makes the statements that lead from one snapshot to another; diagram.py draws.
"""
