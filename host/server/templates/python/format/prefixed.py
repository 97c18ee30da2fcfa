"""The format: stores every key behind a prefix, and values as they are.

Nothing here knows of WebAssembly or the daemon, so any Python can test it. A format is a bijection and a pure
function of its configuration and the bytes: there is no clock, no randomness, and no memory between calls that could
matter. The volume lives by that, so the host checks it."""

import json

# The parser calls itself for every bracket, and a plugin has a stack of 512 KiB.
BRACKETS = 100


def read_config(text: str) -> bytes:
    """What stands before every stored key, from `{"prefix": "tenant/"}`; raises a ValueError that says what is wrong."""
    if text.count("[") + text.count("{") > BRACKETS:
        raise ValueError("configuration: expected a JSON object; found a thicket of brackets")
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ValueError(f"configuration: expected a JSON object; {error}") from None
    if not isinstance(found, dict):
        raise ValueError("configuration: expected a JSON object; found another value")
    for field in found:
        if field != "prefix":
            raise ValueError(f"configuration: unknown field {field}; the only one is prefix")
    prefix = found.get("prefix", "tenant/")
    if not isinstance(prefix, str) or not prefix:
        raise ValueError(f"configuration: prefix is {prefix!r}; expected a text of at least one character")
    try:
        return prefix.encode()
    except UnicodeEncodeError:
        raise ValueError("configuration: prefix has half a character; expected whole ones") from None


def encode_key(prefix: bytes, key: bytes) -> bytes:
    """The stored key. Where it keeps the order, say so in plugin.py."""
    return prefix + key


def decode_key(prefix: bytes, stored: bytes) -> bytes:
    """The key that is stored like this; raises a ValueError where there is none: it is refused, never guessed at."""
    if not stored.startswith(prefix):
        raise ValueError("the stored key does not begin with the prefix")
    return stored[len(prefix) :]
