// Native tests of the laws that every format keeps: no WebAssembly, no daemon. `npm test` runs them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeKey, encodeKey, readConfig } from "./prefixed.js";

const PREFIX = readConfig("{}");
const bytes = (text) => new TextEncoder().encode(text);

/** Keys without doubles, in order. */
function keys() {
  const found = [[], [0], [255], ...[..."/k"].map((char) => Array(1000).fill(char.charCodeAt(0))), [...PREFIX]];
  for (let byte = 0; byte < 256; byte++) found.push([byte]);
  // A small generator of our own, so that every run tests the same keys.
  let state = 1;
  const next = (below) => (state = (state * 48271) % 2147483647) % below;
  for (let count = 0; count < 500; count++) found.push(Array.from({ length: next(40) }, () => next(256)));
  const distinct = new Map(found.map((key) => [key.join(), Uint8Array.from(key)]));
  return [...distinct.values()].sort(Buffer.compare);
}

test("every key comes back", () => {
  for (const key of keys()) assert.deepEqual(decodeKey(PREFIX, encodeKey(PREFIX, key)), key);
});

test("keys are told apart and stay in order", () => {
  const stored = keys().map((key) => encodeKey(PREFIX, key));
  for (let at = 1; at < stored.length; at++) assert.equal(Buffer.compare(stored[at - 1], stored[at]), -1);
});

test("what no key is stored as is refused", () => {
  for (const stored of ["", "other/a", "tenant"]) assert.throws(() => decodeKey(PREFIX, bytes(stored)), /prefix/, stored);
});

test("the prefix has a default", () => {
  assert.deepEqual(["", "{}", '{"prefix": "ä/"}'].map(readConfig), ["tenant/", "tenant/", "ä/"].map(bytes));
});

test("what is wrong is named", () => {
  for (const text of ['{"prefix": ""}', '{"prefix": 7}', '{"prefix": null}', '{"prefixes": "a"}', '{"prefix": "\\ud800"}']) {
    assert.throws(() => readConfig(text), /^Error: configuration: .*prefix/, text);
  }
  for (const text of ["[]", "{", "7"]) {
    assert.throws(() => readConfig(text), /^Error: configuration: expected a JSON object/, text);
  }
});
