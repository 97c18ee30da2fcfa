"""The plugin: what the world `compaction-strategy` asks for, around the decision in policy.py."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.compaction import Decision, Span, Step_Major, Step_Merge, Step_Move, Step_Wait
from wit_world.exports.plugin import Identity
from wit_world.imports import log

import policy


class Plugin(exports.Plugin):
    def describe(self) -> Identity:
        return Identity("size-tiered-python", "1.0.0", "Size-tiered compaction, in Python.")


class Compaction(exports.Compaction):
    def decide(self, call, view) -> Decision:
        try:
            config = policy.read_config(call.config)
        except ValueError as error:
            # An `Err` becomes the error of the `result`; any other exception is a trap.
            raise Err(str(error).encode(errors="replace").decode()) from None
        step, reason = policy.decide(config, view)
        if step.name == "wait" and step.value is not None:
            log.write(log.Level.WARN, reason)
        return Decision(_to_contract(step), reason)


def _to_contract(step: policy.Step):
    if step.name == "merge":
        return Step_Merge(Span(*step.value))
    if step.name == "move":
        return Step_Move(Span(*step.value))
    return Step_Major(step.value) if step.name == "major" else Step_Wait(step.value)
