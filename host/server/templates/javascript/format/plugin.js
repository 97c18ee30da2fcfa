// The plugin: what the world `format` asks for, around the format. The contract is in wit/; names are in camelCase here,
// bytes are an Uint8Array, and a result within a list is `{ tag: "ok", val }` or `{ tag: "err", val }`.

import { decodeKey, encodeKey, readConfig } from "./prefixed.js";

export const plugin = {
  describe() {
    return { name: "{{name}}", version: "0.1.0", summary: "Stores every key behind a prefix." };
  },
};

export const codec = {
  getProperties(config) {
    try {
      readConfig(config);
    } catch (error) {
      // A text that is thrown becomes the error of the answer; an Error object is a trap, which counts as a fault.
      throw error.message;
    }
    return { keepsOrder: true };
  },
  encode: (config, keys, values) => answered(encodeKey, config, keys, values),
  decode: (config, keys, values) => answered(decodeKey, config, keys, values),
};

/** One answer for each record, in their order. Values are stored as they are. */
function answered(ofKey, config, keys, values) {
  // `getProperties` has accepted the configuration before anything is encoded.
  const prefix = readConfig(config);
  return {
    keys: keys.map((key) => attempt(() => ofKey(prefix, key))),
    values: values.map((value) => ({ tag: "ok", val: value })),
  };
}

function attempt(make) {
  try {
    return { tag: "ok", val: make() };
  } catch (error) {
    return { tag: "err", val: error.message };
  }
}
