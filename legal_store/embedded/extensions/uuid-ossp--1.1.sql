-- The functions of uuid-ossp 1.1 in SQL, for a PostgreSQL that comes without that library: same names, arguments
-- and properties, so CREATE EXTENSION "uuid-ossp", migrations and dumps are the same on every server.
-- One difference: uuid_generate_v1() cannot see the network card, so its node is random, as that of v1mc.

\echo Use "CREATE EXTENSION ""uuid-ossp""" to load this file. \quit

CREATE FUNCTION uuid_nil() RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN '00000000-0000-0000-0000-000000000000'::uuid;

CREATE FUNCTION uuid_ns_dns() RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_url() RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_oid() RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_x500() RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_generate_v4() RETURNS uuid
VOLATILE STRICT PARALLEL SAFE LANGUAGE sql
RETURN gen_random_uuid();

-- Time in units of 100 ns since 1582-10-15, in 60 bits; the clock has microseconds, the last digit is random.
-- Clock sequence and node are those of a version 4, with the multicast bit that marks an invented node.
CREATE FUNCTION uuid_generate_v1mc() RETURNS uuid
VOLATILE STRICT PARALLEL SAFE LANGUAGE sql
RETURN (
    SELECT (substr(time, 9, 8) || substr(time, 5, 4) || '1' || substr(time, 2, 3)
            || encode(set_byte(substr(random, 9), 2, get_byte(random, 10) | 1), 'hex'))::uuid
    FROM (
        SELECT
            lpad(to_hex((extract(epoch FROM clock_timestamp()) * 10000000)::bigint + get_byte(random, 0) % 10
                        + 122192928000000000), 16, '0') AS time,
            random
        FROM (SELECT uuid_send(gen_random_uuid()) AS random) AS source
    ) AS parts
);

CREATE FUNCTION uuid_generate_v1() RETURNS uuid
VOLATILE STRICT PARALLEL SAFE LANGUAGE sql
RETURN uuid_generate_v1mc();

-- The first 16 bytes of a hash over namespace and name, with version and variant written over them.
CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN (
    SELECT encode(set_byte(set_byte(hash, 6, get_byte(hash, 6) & 15 | 48), 8, get_byte(hash, 8) & 63 | 128), 'hex')::uuid
    FROM (
        SELECT decode(md5(uuid_send(namespace) || convert_to(name, getdatabaseencoding())), 'hex') AS hash
    ) AS hashed
);

-- The same over SHA-1 (FIPS 180-4), which PostgreSQL itself does not have: 32-bit words held in bigint.
CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    full_word CONSTANT bigint := 4294967295;
    message bytea := uuid_send(namespace) || convert_to(name, getdatabaseencoding());
    bits CONSTANT bigint := length(message)::bigint * 8;
    word bigint[];
    hash bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; mixed bigint;
    bytes bytea;
BEGIN
    message := message || '\x80'::bytea
        || decode(repeat('00', (119 - length(message) % 64) % 64), 'hex') || int8send(bits);
    FOR block IN 0 .. length(message) / 64 - 1 LOOP
        FOR i IN 0 .. 15 LOOP
            word[i] := ('x' || encode(substr(message, block * 64 + i * 4 + 1, 4), 'hex'))::bit(32)::bigint;
        END LOOP;
        FOR i IN 16 .. 79 LOOP
            mixed := word[i - 3] # word[i - 8] # word[i - 14] # word[i - 16];
            word[i] := (mixed << 1 & full_word) | (mixed >> 31);
        END LOOP;
        a := hash[1]; b := hash[2]; c := hash[3]; d := hash[4]; e := hash[5];
        FOR i IN 0 .. 79 LOOP
            f := CASE i / 20
                WHEN 0 THEN ((b & c) | (~b & d)) + 1518500249
                WHEN 1 THEN (b # c # d) + 1859775393
                WHEN 2 THEN ((b & c) | (b & d) | (c & d)) + 2400959708
                ELSE (b # c # d) + 3395469782
            END;
            mixed := (((a << 5 & full_word) | (a >> 27)) + f + e + word[i]) & full_word;
            e := d; d := c; c := (b << 30 & full_word) | (b >> 2); b := a; a := mixed;
        END LOOP;
        hash := ARRAY[hash[1] + a & full_word, hash[2] + b & full_word, hash[3] + c & full_word,
                      hash[4] + d & full_word, hash[5] + e & full_word];
    END LOOP;
    bytes := int8send(hash[1] << 32 | hash[2]) || int8send(hash[3] << 32 | hash[4]);
    RETURN encode(set_byte(set_byte(bytes, 6, get_byte(bytes, 6) & 15 | 80), 8, get_byte(bytes, 8) & 63 | 128),
                  'hex')::uuid;
END
$$;
