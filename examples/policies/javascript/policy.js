// The decision: a pure function of the configuration and the view, without anything of the host, so that Node
// can test it. See ../SPEC.md. Sizes are BigInt, because a Number is exact only up to 2^53.

const MAX_U64 = 2n ** 64n - 1n;
const LAST = 6;

/** Numbers that an operator can set: name, default, least, greatest. */
const KNOBS = [
  ["level0_runs", 4, 2, 64],
  ["similar_percent", 200, 100, 1000],
  ["max_space_percent", 100, 10, 1000],
  ["table_bytes", 67108864, 65536, 1073741824],
  ["ask_again_ms", 10000, 1, 86400000],
];
const LABEL_BYTES = 64;

/** Reads the configuration; throws an Error that names the knob that is wrong. */
export function readConfig(text) {
  const found = parse(text);
  const known = new Set([...KNOBS.map(([knob]) => knob), "label"]);
  for (const [knob, value] of Object.entries(found)) {
    if (!known.has(knob)) {
      throw new Error(`configuration: unknown knob ${knob}; expected one of ${[...known].join(", ")}`);
    }
    // JSON can write half a surrogate pair, which is no character and has no UTF-8.
    const text = typeof value === "string" && value.isWellFormed();
    const fits = knob === "label" ? text : Number.isInteger(value) && value >= 0;
    if (!fits) {
      throw new Error(`configuration: ${knob} is ${JSON.stringify(value)}; expected ` +
        (knob === "label" ? "a text" : "a whole number"));
    }
  }
  const config = { label: found.label ?? "" };
  for (const [knob, standard, least, greatest] of KNOBS) {
    const value = found[knob] ?? standard;
    if (value < least || value > greatest) {
      throw new Error(`configuration: ${knob} is ${value}; expected ${least} to ${greatest}`);
    }
    config[knob] = BigInt(value);
  }
  const bytes = new TextEncoder().encode(config.label).length;
  if (bytes > LABEL_BYTES) {
    throw new Error(`configuration: label has ${bytes} bytes; expected at most ${LABEL_BYTES}`);
  }
  return config;
}

function parse(text) {
  if (text.trim() === "") return {};
  let found;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new Error(`configuration: expected a JSON object; ${error.message}`);
  }
  if (found === null || typeof found !== "object" || Array.isArray(found)) {
    throw new Error(`configuration: expected a JSON object; found ${JSON.stringify(found)}`);
  }
  return found;
}

/** What the rules look at. */
class Tree {
  constructor(view) {
    const levels = Array.from({ length: LAST + 1 }, (_, level) => view.levels[level]?.runs ?? []);
    this.runs = levels.map((runs) => runs.length);
    this.sizes = levels.map((runs) => sum(runs.flatMap((run) => run.tables.map((table) => table.bytes))));
    this.guard = view.guardL0Runs;
    this.free = view.freeDisk;
  }

  bytes(from, to = from) {
    return sum(this.sizes.slice(from, to + 1));
  }

  filled(level) {
    return this.runs[level] > 0;
  }
}

function sum(sizes) {
  const total = sizes.reduce((total, size) => total + size, 0n);
  return total < MAX_U64 ? total : MAX_U64;
}

const similar = (config, younger, older) => older * 100n <= younger * config.similar_percent;

const merge = (tree, from, to, reason) => ({
  step: { tag: "merge", val: { from, to } },
  reason,
  reads: tree.bytes(from, to),
});

/** The next step for the tree, with its reason. */
export function decide(config, view) {
  const tree = new Tree(view);
  const wanted = candidates(config, tree);
  const { step, reason } = wanted.find(({ reads }) => reads <= tree.free) ?? wait(config, tree, wanted[0]);
  return { step, reason: config.label === "" ? reason : `${config.label}: ${reason}` };
}

function wait(config, tree, wanted) {
  if (wanted === undefined) return { step: { tag: "wait", val: undefined }, reason: "nothing to do" };
  const reason = `${wanted.reads} bytes need room and ${tree.free} are free`;
  return { step: { tag: "wait", val: config.ask_again_ms }, reason };
}

/** The steps that would improve the tree, the most wanted first. */
function candidates(config, tree) {
  const rules = [crowded, sink, space, level0, similarLevels];
  return rules.map((rule) => rule(tree, config)).filter((candidate) => candidate !== undefined);
}

function crowded(tree) {
  const level = tree.runs.findIndex((runs, level) => level > 0 && runs > 1);
  if (level < 0) return undefined;
  return merge(tree, level, level, `level ${level} has ${tree.runs[level]} runs`);
}

function sink(tree) {
  for (let from = LAST - 1; from > 0; from--) {
    if (tree.runs[from] !== 1 || tree.filled(from + 1)) continue;
    let to = from + 1;
    while (to < LAST && !tree.filled(to + 1)) to++;
    return { step: { tag: "move", val: { from, to } }, reason: `level ${from} can sink to level ${to}`, reads: 0n };
  }
  return undefined;
}

function space(tree, config) {
  const last = tree.runs.findLastIndex((runs) => runs > 0);
  if (last <= 0) return undefined;
  const [above, below] = [tree.bytes(0, last - 1), tree.bytes(last)];
  if (above * 100n <= below * config.max_space_percent) return undefined;
  return {
    step: { tag: "major", val: config.table_bytes },
    reason: `${above} bytes lie above ${below} in level ${last}`,
    reads: tree.bytes(0, LAST),
  };
}

function level0(tree, config) {
  const limit = Math.min(Number(config.level0_runs), Math.max(2, tree.guard));
  if (tree.runs[0] < limit) return undefined;
  const reason = `level 0 has ${tree.runs[0]} runs`;
  const first = tree.runs.findIndex((runs, level) => level > 0 && runs > 0);
  if (first < 0) return merge(tree, 0, LAST, reason);
  if (similar(config, tree.bytes(0), tree.bytes(first))) return merge(tree, 0, first, reason);
  return first > 1 ? merge(tree, 0, first - 1, reason) : makeRoom(tree);
}

/** Every level is taken: the two neighbours that differ the least become one. */
function makeRoom(tree) {
  const size = (level) => (tree.bytes(level) > 0n ? tree.bytes(level) : 1n);
  let best;
  for (let level = 1; level < LAST; level++) {
    if (!tree.filled(level) || !tree.filled(level + 1)) continue;
    if (best === undefined || size(level + 1) * size(best) < size(best + 1) * size(level)) best = level;
  }
  return best && merge(tree, best, best + 1, `levels ${best} and ${best + 1} make room`);
}

function similarLevels(tree, config) {
  for (let level = 1; level < LAST; level++) {
    if (!tree.filled(level)) continue;
    const next = tree.runs.findIndex((runs, other) => other > level && runs > 0);
    if (next > 0 && similar(config, tree.bytes(level), tree.bytes(next))) {
      return merge(tree, level, next, `levels ${level} and ${next} are similar`);
    }
  }
  return undefined;
}
