// The plugin: what the world `compaction-strategy` asks for, around the policy. The contract is in wit/; names
// are in camelCase here, and every u64, such as a table's bytes, is a BigInt.

import { decide as choose, readConfig } from "./policy.js";

export const plugin = {
  describe() {
    return { name: "{{name}}", version: "0.1.0", summary: "Merges level 0 into the level below when it is full." };
  },
};

export const compaction = {
  decide(call, view) {
    let l0Runs;
    try {
      l0Runs = readConfig(call.config);
    } catch (error) {
      // A text that is thrown becomes the error of the answer; an Error object is a trap, which counts as a fault.
      throw error.message;
    }
    const { merge, reason } = choose(l0Runs, view.levels.map((level) => level.runs.length));
    return { step: merge ? { tag: "merge", val: merge } : { tag: "wait", val: undefined }, reason };
  },
};
