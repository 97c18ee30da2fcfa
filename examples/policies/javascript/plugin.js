// The plugin: what the world `compaction-strategy` asks for, around the decision in policy.js.

import { write } from "mortise:plugin/log@0.2.0";
import { decide as choose, readConfig } from "./policy.js";

export const plugin = {
  describe() {
    return { name: "size-tiered-javascript", version: "1.0.0", summary: "Size-tiered compaction, in JavaScript." };
  },
};

export const compaction = {
  decide(call, view) {
    let config;
    try {
      config = readConfig(call.config);
    } catch (error) {
      // The error of a `result` is thrown as it is; an Error object would be one that nobody expected: a trap.
      throw error.message;
    }
    const decision = choose(config, view);
    if (decision.step.tag === "wait" && decision.step.val !== undefined) write("warn", decision.reason);
    return decision;
  },
};
