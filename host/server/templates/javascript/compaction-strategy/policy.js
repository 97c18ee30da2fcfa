// The policy: merges level 0 when it is full, and keeps one run in every other level.
//
// Nothing here knows of WebAssembly or the daemon, so Node can test it. Given the same call it must give the same
// answer: there is no clock and no randomness but what comes with the call.

const LAST = 6;

/** The runs that level 0 collects, from `{"l0_runs": 8}`; throws an Error that says what is wrong. */
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
  for (const knob of Object.keys(found)) {
    if (knob !== "l0_runs") throw new Error(`configuration: unknown knob ${knob}; the only one is l0_runs`);
  }
  const runs = "l0_runs" in found ? found.l0_runs : 4;
  if (!Number.isInteger(runs) || runs < 1 || runs > 1000) {
    const shown = JSON.stringify(runs);
    throw new Error(`configuration: l0_runs is ${shown}; expected a whole number from 1 to 1000`);
  }
  return runs;
}

/** The levels to merge for a tree with so many runs in each level, or `undefined` to wait; and why. */
export function decide(l0Runs, runs) {
  for (let level = 1; level <= LAST; level++) {
    // Another strategy may have left several runs in a level.
    if (runs[level] > 1) {
      return { merge: { from: level, to: level }, reason: `level ${level} has ${runs[level]} runs` };
    }
  }
  if (runs[0] < l0Runs) return { merge: undefined, reason: `level 0 has ${runs[0]} of ${l0Runs} runs` };
  // Into the first level that holds anything; what lies between must be empty, and is.
  let below = 1;
  while (below < LAST && runs[below] === 0) below++;
  return { merge: { from: 0, to: below }, reason: `level 0 has ${runs[0]} runs` };
}
