"""The plugin: what the world `compaction-strategy` asks for, around the policy.

`wit_world` is made from the contract in wit/ while the component is built;
`componentize-py -d wit -w compaction-strategy bindings bindings` writes it out for an editor."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.compaction import Decision, Span, Step_Merge, Step_Wait
from wit_world.exports.plugin import Identity

import policy


class Plugin(exports.Plugin):
    def describe(self) -> Identity:
        return Identity("{{name}}", "0.1.0", "Merges level 0 into the level below when it is full.")


class Compaction(exports.Compaction):
    def decide(self, call, view) -> Decision:
        try:
            l0_runs = policy.read_config(call.config)
        except ValueError as error:
            # An `Err` becomes the error of the answer; any other exception is a trap, which counts as a fault.
            raise Err(str(error).encode(errors="replace").decode()) from None
        levels, reason = policy.decide(l0_runs, [len(level.runs) for level in view.levels])
        return Decision(Step_Merge(Span(*levels)) if levels else Step_Wait(None), reason)
