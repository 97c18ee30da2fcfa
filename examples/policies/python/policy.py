"""The decision: a pure function of the configuration and the view, without anything of the host, so that any
Python can test it. See ../SPEC.md. Whole numbers in Python have no bound, so sums saturate by hand."""

import json
from dataclasses import dataclass

MAX_U64 = 2**64 - 1
LAST = 6

# Numbers that an operator can set: default, least, greatest.
KNOBS = {
    "level0_runs": (4, 2, 64),
    "similar_percent": (200, 100, 1000),
    "max_space_percent": (100, 10, 1000),
    "table_bytes": (67108864, 65536, 1073741824),
    "ask_again_ms": (10000, 1, 86400000),
}
LABEL_BYTES = 64
# The parser calls itself for every bracket, and a plugin has a stack of 512 KiB.
BRACKETS = 100


@dataclass
class Config:
    level0_runs: int
    similar_percent: int
    max_space_percent: int
    table_bytes: int
    ask_again_ms: int
    label: str


def read_config(text: str) -> Config:
    """Reads the configuration; raises a ValueError that names the knob that is wrong."""
    found = _parse(text)
    for knob, value in found.items():
        if knob == "label":
            if not isinstance(value, str):
                raise ValueError(f"configuration: label is {value!r}; expected a text")
            # JSON can write half a surrogate pair, which is no character and has no UTF-8.
            if any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError(f"configuration: label is {value!r}; expected whole characters")
        elif knob not in KNOBS:
            known = ", ".join([*KNOBS, "label"])
            raise ValueError(f"configuration: unknown knob {knob}; expected one of {known}")
        # In Python a truth value is a whole number, too.
        elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"configuration: {knob} is {value!r}; expected a whole number")
    numbers = {}
    for knob, (standard, least, greatest) in KNOBS.items():
        numbers[knob] = found.get(knob, standard)
        if not least <= numbers[knob] <= greatest:
            raise ValueError(f"configuration: {knob} is {numbers[knob]}; expected {least} to {greatest}")
    label = found.get("label", "")
    size = len(label.encode())
    if size > LABEL_BYTES:
        raise ValueError(f"configuration: label has {size} bytes; expected at most {LABEL_BYTES}")
    return Config(label=label, **numbers)


def _parse(text: str) -> dict:
    if not text.strip():
        return {}
    if text.count("[") + text.count("{") > BRACKETS:
        raise ValueError("configuration: expected a JSON object; found a thicket of brackets")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"configuration: expected a JSON object; {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"configuration: expected a JSON object; found {text.strip()[:40]}")
    return found


class Tree:
    """What the rules look at."""

    def __init__(self, view):
        levels = [level.runs for level in view.levels[: LAST + 1]]
        levels += [[]] * (LAST + 1 - len(levels))
        self.runs = [len(runs) for runs in levels]
        self._bytes = [_sum(table.bytes for run in runs for table in run.tables) for runs in levels]
        self.free = view.free_disk
        self.guard = view.guard_l0_runs
        self.filled = [level for level, runs in enumerate(self.runs) if runs > 0]

    def bytes(self, first: int, last: int | None = None) -> int:
        return _sum(self._bytes[first : (first if last is None else last) + 1])


def _sum(sizes) -> int:
    return min(sum(sizes), MAX_U64)


@dataclass
class Step:
    """A step by its name in the contract, and what it carries: levels, bytes, milliseconds or None."""

    name: str
    value: tuple[int, int] | int | None


@dataclass
class Candidate:
    step: Step
    reason: str
    reads: int


def decide(config: Config, view) -> tuple[Step, str]:
    """The next step for the tree, with its reason."""
    tree = Tree(view)
    wanted = [candidate for rule in RULES if (candidate := rule(config, tree))]
    fitting = next((candidate for candidate in wanted if candidate.reads <= tree.free), None)
    if fitting:
        step, reason = fitting.step, fitting.reason
    elif wanted:
        step = Step("wait", config.ask_again_ms)
        reason = f"{wanted[0].reads} bytes need room and {tree.free} are free"
    else:
        step, reason = Step("wait", None), "nothing to do"
    return step, f"{config.label}: {reason}" if config.label else reason


def _merge(tree: Tree, first: int, last: int, reason: str) -> Candidate:
    return Candidate(Step("merge", (first, last)), reason, tree.bytes(first, last))


def _similar(config: Config, younger: int, older: int) -> bool:
    return older * 100 <= younger * config.similar_percent


def _crowded(_config: Config, tree: Tree) -> Candidate | None:
    level = next((level for level in tree.filled if level > 0 and tree.runs[level] > 1), None)
    if level is None:
        return None
    return _merge(tree, level, level, f"level {level} has {tree.runs[level]} runs")


def _sink(_config: Config, tree: Tree) -> Candidate | None:
    for level in range(LAST - 1, 0, -1):
        if tree.runs[level] == 1 and tree.runs[level + 1] == 0:
            below = [other for other in tree.filled if other > level]
            to = below[0] - 1 if below else LAST
            return Candidate(Step("move", (level, to)), f"level {level} can sink to level {to}", 0)
    return None


def _space(config: Config, tree: Tree) -> Candidate | None:
    last = tree.filled[-1] if tree.filled else 0
    if last == 0:
        return None
    above, below = tree.bytes(0, last - 1), tree.bytes(last)
    if above * 100 <= below * config.max_space_percent:
        return None
    reason = f"{above} bytes lie above {below} in level {last}"
    return Candidate(Step("major", config.table_bytes), reason, tree.bytes(0, LAST))


def _level0(config: Config, tree: Tree) -> Candidate | None:
    if tree.runs[0] < min(config.level0_runs, max(2, tree.guard)):
        return None
    reason = f"level 0 has {tree.runs[0]} runs"
    first = next((level for level in tree.filled if level > 0), None)
    if first is None:
        return _merge(tree, 0, LAST, reason)
    if _similar(config, tree.bytes(0), tree.bytes(first)):
        return _merge(tree, 0, first, reason)
    if first > 1:
        return _merge(tree, 0, first - 1, reason)
    return _make_room(tree)


def _make_room(tree: Tree) -> Candidate | None:
    """Every level is taken: the two neighbours that differ the least become one."""

    def size(level: int) -> int:
        return max(1, tree.bytes(level))

    best = None
    for level in range(1, LAST):
        if tree.runs[level] == 0 or tree.runs[level + 1] == 0:
            continue
        if best is None or size(level + 1) * size(best) < size(best + 1) * size(level):
            best = level
    if best is None:
        return None
    return _merge(tree, best, best + 1, f"levels {best} and {best + 1} make room")


def _similar_levels(config: Config, tree: Tree) -> Candidate | None:
    tiers = [level for level in tree.filled if level > 0]
    for level, below in zip(tiers, tiers[1:]):
        if _similar(config, tree.bytes(level), tree.bytes(below)):
            return _merge(tree, level, below, f"levels {level} and {below} are similar")
    return None


# The steps that would improve the tree, the most wanted first.
RULES = (_crowded, _sink, _space, _level0, _similar_levels)
