"""Native tests of the laws that every format keeps: no WebAssembly, no daemon. `python3 -m unittest` runs them."""

import random
import unittest

import prefixed

PREFIX = b"tenant/"


def keys() -> list[bytes]:
    chance = random.Random(1)
    found = [b"", b"\0", b"\xff", b"/", PREFIX, PREFIX[:-1], PREFIX + PREFIX, b"k" * 10_000]
    found += [bytes([byte]) for byte in range(256)]
    found += [chance.randbytes(chance.randrange(40)) for _ in range(500)]
    return sorted(set(found))


class Laws(unittest.TestCase):
    def test_every_key_comes_back(self):
        for key in keys():
            self.assertEqual(prefixed.decode_key(PREFIX, prefixed.encode_key(PREFIX, key)), key)

    def test_keys_are_told_apart_and_stay_in_order(self):
        stored = [prefixed.encode_key(PREFIX, key) for key in keys()]
        self.assertEqual(stored, sorted(set(stored)))

    def test_what_no_key_is_stored_as_is_refused(self):
        for stored in (b"", b"other/a", PREFIX[:-1], b"\xff"):
            with self.subTest(stored), self.assertRaisesRegex(ValueError, "prefix"):
                prefixed.decode_key(PREFIX, stored)


class Configuration(unittest.TestCase):
    def test_the_prefix_has_a_default(self):
        found = [prefixed.read_config(text) for text in ("", "{}", '{"prefix": "ä/"}')]
        self.assertEqual(found, [PREFIX, PREFIX, "ä/".encode()])

    def test_what_is_wrong_is_named(self):
        for text in ('{"prefix": ""}', '{"prefix": 7}', '{"prefix": null}', '{"prefixes": "a"}', '{"prefix": "\\ud800"}'):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "^configuration: .*prefix"):
                prefixed.read_config(text)
        for text in ("[]", "{", "7", "[" * 20_000):
            with self.subTest(text[:9]), self.assertRaisesRegex(ValueError, "^configuration: expected a JSON object"):
                prefixed.read_config(text)


if __name__ == "__main__":
    unittest.main()
