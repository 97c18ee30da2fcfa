// Native tests: no WebAssembly, no daemon. `npm test` runs them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decide, readConfig } from "./policy.js";

const tree = (levels) => Array.from({ length: 7 }, (_, level) => levels[level] ?? 0);

test("waits until level 0 is full", () => {
  assert.equal(decide(4, tree({ 0: 3 })).merge, undefined);
  assert.deepEqual(decide(4, tree({ 0: 4 })).merge, { from: 0, to: 6 });
  assert.deepEqual(decide(4, tree({ 0: 4, 5: 1 })).merge, { from: 0, to: 5 });
});

test("keeps one run in a level", () => {
  assert.deepEqual(decide(4, tree({ 0: 9, 2: 3 })), { merge: { from: 2, to: 2 }, reason: "level 2 has 3 runs" });
});

test("knobs have defaults", () => {
  assert.deepEqual(["", "{}", '{"l0_runs": 12}'].map(readConfig), [4, 4, 12]);
});

test("what is wrong is named", () => {
  for (const text of ['{"l0_runs": 0}', '{"l0_runs": "4"}', '{"l0_runs": null}', '{"l0_runs": 4.5}', '{"l0_run": 4}']) {
    assert.throws(() => readConfig(text), /^Error: configuration: .*l0_run/, text);
  }
  for (const text of ["[]", "{", "7"]) {
    assert.throws(() => readConfig(text), /^Error: configuration: expected a JSON object/, text);
  }
});
