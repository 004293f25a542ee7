from tests.keyvalue.fixtures import key_value_server, patience, raw, redis_url

__all__ = ["key_value_server", "patience", "raw", "redis_url"]
