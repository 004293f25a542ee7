"""The key of a run. Without it, nobody can repeat or undo what it did; it never appears in a statement."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import Any

from psycopg2 import sql

from legal_store.errors import ConfigurationError

KEY_BYTES = 32
ROW_NUMBER = sql.SQL("currval('pg_temp.mask_key_row_number_seq')")
NEXT_ROW_NUMBER = sql.SQL("nextval('pg_temp.mask_key_row_number_seq')")
COUNT_FROM_ONE = "SELECT setval('pg_temp.mask_key_row_number_seq', 1, false)"
_BLOCK = 64  # bytes, of SHA-256


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def kept_key(path: Path) -> bytes:
    """Return the key in `path`, 64 hexadecimal digits; make it, readable by its owner only, where there is no file.

    Raises ConfigurationError when the file holds anything else, or others may read it.
    """
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key().hex() + "\n")
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"Others may read the key in {path}.", remedy=f"Run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{path} holds no key: 64 hexadecimal digits.", remedy="Name another file.")
    return key


def forget_key(path: Path) -> bool:
    """Overwrite and remove the key in `path`; return whether there was one. What it masked is then irreversible."""
    if not path.exists():
        return False
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return True


def hand_over(cursor: Any, key: bytes) -> None:
    """Put the key's pads (RFC 2104) into a temporary table, by COPY, so that no statement or log ever shows them.

    Its sequence counts the rows while a table is masked.
    """
    block = key.ljust(_BLOCK, b"\0")
    pads = ["\\\\x" + bytes(byte ^ pad for byte in block).hex() for pad in (0x36, 0x5C)]
    cursor.execute("CREATE TEMP TABLE mask_key (inner_pad bytea, outer_pad bytea, row_number bigserial) ON COMMIT DROP")
    cursor.copy_expert("COPY pg_temp.mask_key (inner_pad, outer_pad) FROM STDIN", io.StringIO("\t".join(pads) + "\n"))
    cursor.execute(_FUNCTIONS)


# A Feistel network over twice `half` bits, walked until the result is below `size` (Black and Rogaway, 2002): a
# permutation of 0 .. size - 1 for each key and domain.
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.permuted(domain text, value bigint, size bigint, inner_pad bytea, outer_pad bytea)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    half int := greatest(1, ceil(ceil(ln(size::numeric) / ln(2.0)) / 2)::int);
    mask bigint := (1::bigint << half) - 1;
    upper_half bigint;
    lower_half bigint;
    mixed bigint;
    result bigint := abs(value);
BEGIN
    IF result >= size THEN
        RAISE EXCEPTION 'a number is too large to be permuted' USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    LOOP
        upper_half := result >> half;
        lower_half := result & mask;
        FOR round IN 1..6 LOOP
            mixed := ('x' || left(encode(sha256(outer_pad || sha256(inner_pad || convert_to(
                domain || chr(31) || size || chr(31) || round || chr(31) || lower_half, 'UTF8'))), 'hex'), 15)
                )::bit(60)::bigint;
            mixed := upper_half # (mixed & mask);
            upper_half := lower_half;
            lower_half := mixed;
        END LOOP;
        result := (upper_half << half) | lower_half;
        EXIT WHEN result < size;
    END LOOP;
    RETURN CASE WHEN value < 0 THEN -result ELSE result END;
END
$$;
CREATE OR REPLACE FUNCTION pg_temp.permuted_digits(domain text, value text, inner_pad bytea, outer_pad bytea)
RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    digits text := regexp_replace(value, '\\D', '', 'g');
    replaced text := '';
    result text := '';
    place int := 0;
    piece text;
BEGIN
    IF digits = '' THEN
        RETURN left(encode(sha256(outer_pad || sha256(inner_pad || convert_to(value, 'UTF8'))), 'hex'), length(value));
    END IF;
    FOR start IN 0..length(digits) - 1 BY 18 LOOP
        piece := substr(digits, start + 1, 18);
        -- what stands before is part of the domain: equal ends of different numbers become different
        replaced := replaced || lpad(pg_temp.permuted(domain || left(digits, start), piece::bigint,
            (10::numeric ^ length(piece))::bigint, inner_pad, outer_pad)::text, length(piece), '0');
    END LOOP;
    FOREACH piece IN ARRAY regexp_split_to_array(value, '') LOOP
        IF piece ~ '\\d' THEN
            place := place + 1;
            piece := substr(replaced, place, 1);
        END IF;
        result := result || piece;
    END LOOP;
    RETURN result;
END
$$;
CREATE OR REPLACE FUNCTION pg_temp.permuted_words(value text, shifts bytea)
RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    piece text;
    letter text;
    result text := '';
    place int := 0;
BEGIN
    FOR piece IN
        SELECT m[1] FROM regexp_matches(value, '[[:alpha:]]{3,}|[^[:alpha:]]+|[[:alpha:]]{1,2}', 'g') AS m
    LOOP
        IF piece ~ '^[[:alpha:]]{3}' THEN
            FOREACH letter IN ARRAY regexp_split_to_array(piece, '') LOOP
                place := place + 1;
                -- never by 0 or 26: no letter stays
                piece := chr(97 + (ascii(lower(letter)) + 7 + 1 + get_byte(shifts, place % 32) % 25) % 26);
                result := result || CASE WHEN letter = lower(letter) THEN piece ELSE upper(piece) END;
            END LOOP;
        ELSE
            result := result || piece;
        END IF;
    END LOOP;
    RETURN result;
END
$$;
"""
