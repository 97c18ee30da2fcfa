// The format: stores every key behind a prefix, and values as they are.
//
// Nothing here knows of WebAssembly or the daemon, so Node can test it. A format is a bijection and a pure function of
// its configuration and the bytes: there is no clock, no randomness, and no memory between calls that could matter. The
// volume lives by that, so the host checks it.

/** What stands before every stored key, from `{"prefix": "tenant/"}`; throws an Error that says what is wrong. */
export function readConfig(text) {
  let found = {};
  try {
    if (text.trim() !== "") found = JSON.parse(text);
  } catch (error) {
    throw new Error(`configuration: expected a JSON object; ${error.message}`);
  }
  if (found === null || typeof found !== "object" || Array.isArray(found)) {
    throw new Error("configuration: expected a JSON object; found another value");
  }
  for (const field of Object.keys(found)) {
    if (field !== "prefix") throw new Error(`configuration: unknown field ${field}; the only one is prefix`);
  }
  const prefix = "prefix" in found ? found.prefix : "tenant/";
  if (typeof prefix !== "string" || prefix === "") {
    const shown = JSON.stringify(prefix);
    throw new Error(`configuration: prefix is ${shown}; expected a text of at least one character`);
  }
  if (!prefix.isWellFormed()) throw new Error("configuration: prefix has half a character; expected whole ones");
  return new TextEncoder().encode(prefix);
}

/** The stored key. Where it keeps the order, say so in plugin.js. */
export function encodeKey(prefix, key) {
  const stored = new Uint8Array(prefix.length + key.length);
  stored.set(prefix);
  stored.set(key, prefix.length);
  return stored;
}

/** The key that is stored like this; throws an Error where there is none: it is refused, never guessed at. */
export function decodeKey(prefix, stored) {
  if (stored.length < prefix.length || prefix.some((byte, at) => stored[at] !== byte)) {
    throw new Error("the stored key does not begin with the prefix");
  }
  return stored.slice(prefix.length);
}
