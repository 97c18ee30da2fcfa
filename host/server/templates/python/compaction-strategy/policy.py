"""The policy: merges level 0 when it is full, and keeps one run in every other level.

Nothing here knows of WebAssembly or the daemon, so any Python can test it. Given the same call it must give the
same answer: there is no clock and no randomness but what comes with the call."""

import json

# The parser calls itself for every bracket, and a plugin has a stack of 512 KiB.
BRACKETS = 100
LAST = 6


def read_config(text: str) -> int:
    """The runs that level 0 collects, from `{"l0_runs": 8}`; raises a ValueError that says what is wrong."""
    if text.count("[") + text.count("{") > BRACKETS:
        raise ValueError("configuration: expected a JSON object; found a thicket of brackets")
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ValueError(f"configuration: expected a JSON object; {error}") from None
    if not isinstance(found, dict):
        raise ValueError("configuration: expected a JSON object; found another value")
    for knob in found:
        if knob != "l0_runs":
            raise ValueError(f"configuration: unknown knob {knob}; the only one is l0_runs")
    runs = found.get("l0_runs", 4)
    # In Python a truth value is a whole number, too.
    if not isinstance(runs, int) or isinstance(runs, bool) or not 1 <= runs <= 1000:
        raise ValueError(f"configuration: l0_runs is {runs!r}; expected a whole number from 1 to 1000")
    return runs


def decide(l0_runs: int, runs: list[int]) -> tuple[tuple[int, int] | None, str]:
    """The levels to merge for a tree with so many runs in each level, or None to wait; and why."""
    for level in range(1, LAST + 1):
        # Another strategy may have left several runs in a level.
        if runs[level] > 1:
            return (level, level), f"level {level} has {runs[level]} runs"
    if runs[0] < l0_runs:
        return None, f"level 0 has {runs[0]} of {l0_runs} runs"
    # Into the first level that holds anything; what lies between must be empty, and is.
    below = next((level for level in range(1, LAST) if runs[level] > 0), LAST)
    return (0, below), f"level 0 has {runs[0]} runs"
