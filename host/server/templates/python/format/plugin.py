"""The plugin: what the world `format` asks for, around the format.

`wit_world` is made from the contract in wit/ while the component is built;
`componentize-py -d wit -w format bindings bindings` writes it out for an editor."""

from componentize_py_types import Err, Ok, Result
from wit_world import exports
from wit_world.exports.codec import Answers, Properties
from wit_world.exports.plugin import Identity

import prefixed


class Plugin(exports.Plugin):
    def describe(self) -> Identity:
        return Identity("{{name}}", "0.1.0", "Stores every key behind a prefix.")


class Codec(exports.Codec):
    def get_properties(self, config: str) -> Properties:
        try:
            prefixed.read_config(config)
        except ValueError as error:
            # An `Err` becomes the error of the answer; any other exception is a trap, which counts as a fault.
            raise Err(said(error)) from None
        return Properties(keeps_order=True)

    def encode(self, config: str, keys: list[bytes], values: list[bytes]) -> Answers:
        return answered(prefixed.encode_key, config, keys, values)

    def decode(self, config: str, keys: list[bytes], values: list[bytes]) -> Answers:
        return answered(prefixed.decode_key, config, keys, values)


def answered(of_key, config: str, keys: list[bytes], values: list[bytes]) -> Answers:
    """One answer for each record, in their order. Values are stored as they are."""
    # `get_properties` has accepted the configuration before anything is encoded.
    prefix = prefixed.read_config(config)
    return Answers([attempt(of_key, prefix, key) for key in keys], [Ok(value) for value in values])


def attempt(of_key, prefix: bytes, key: bytes) -> Result[bytes, str]:
    try:
        return Ok(of_key(prefix, key))
    except ValueError as error:
        return Err(said(error))


def said(error: ValueError) -> str:
    """The text of an error, which must be UTF-8."""
    return str(error).encode(errors="replace").decode()
