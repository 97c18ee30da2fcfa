"""Native tests: no WebAssembly, no daemon. `python3 -m unittest` runs them."""

import unittest

import policy


def tree(**levels: int) -> list[int]:
    return [levels.get(f"level{level}", 0) for level in range(7)]


class Decide(unittest.TestCase):
    def test_waits_until_level_0_is_full(self):
        self.assertEqual(policy.decide(4, tree(level0=3))[0], None)
        self.assertEqual(policy.decide(4, tree(level0=4))[0], (0, 6))
        self.assertEqual(policy.decide(4, tree(level0=4, level5=1))[0], (0, 5))

    def test_keeps_one_run_in_a_level(self):
        self.assertEqual(policy.decide(4, tree(level0=9, level2=3)), ((2, 2), "level 2 has 3 runs"))


class Configuration(unittest.TestCase):
    def test_knobs_have_defaults(self):
        self.assertEqual([policy.read_config(text) for text in ("", "{}", '{"l0_runs": 12}')], [4, 4, 12])

    def test_what_is_wrong_is_named(self):
        for text in ('{"l0_runs": 0}', '{"l0_runs": "4"}', '{"l0_runs": true}', '{"l0_runs": 4.5}', '{"l0_run": 4}'):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "^configuration: .*l0_run"):
                policy.read_config(text)
        for text in ("[]", "{", "7", "[" * 20_000):
            with self.subTest(text[:9]), self.assertRaisesRegex(ValueError, "^configuration: expected a JSON object"):
                policy.read_config(text)


if __name__ == "__main__":
    unittest.main()
