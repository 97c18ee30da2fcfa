//! The decision: a pure function of the configuration and the tree, without anything of the host, so that
//! `zig test` runs natively. See ../SPEC.md.

const std = @import("std");
const Allocator = std.mem.Allocator;

pub const levels = 7;
const last_level = levels - 1;

/// What an operator can set.
pub const Config = struct {
    level0_runs: u64 = 4,
    similar_percent: u64 = 200,
    max_space_percent: u64 = 100,
    table_bytes: u64 = 67108864,
    ask_again_ms: u64 = 10000,
    label: []const u8 = "",
};

const label_bytes = 64;
const Bound = struct { knob: []const u8, least: u64, greatest: u64 };
const bounds = [_]Bound{
    .{ .knob = "level0_runs", .least = 2, .greatest = 64 },
    .{ .knob = "similar_percent", .least = 100, .greatest = 1000 },
    .{ .knob = "max_space_percent", .least = 10, .greatest = 1000 },
    .{ .knob = "table_bytes", .least = 65536, .greatest = 1073741824 },
    .{ .knob = "ask_again_ms", .least = 1, .greatest = 86400000 },
};

/// A configuration, or what is wrong with it.
pub const Reading = union(enum) { config: Config, wrong: []const u8 };

pub fn readConfig(arena: Allocator, text: []const u8) Allocator.Error!Reading {
    var config = Config{};
    if (std.mem.trim(u8, text, " \t\r\n").len == 0) return .{ .config = config };
    const found = std.json.parseFromSliceLeaky(std.json.Value, arena, text, .{}) catch |failure| switch (failure) {
        error.OutOfMemory => return error.OutOfMemory,
        else => return wrong(arena, "expected a JSON object; {s}", .{@errorName(failure)}),
    };
    if (found != .object) return wrong(arena, "expected a JSON object; found another value", .{});
    var knobs = found.object.iterator();
    while (knobs.next()) |entry| {
        const knob = entry.key_ptr.*;
        if (!set(&config, knob, entry.value_ptr.*)) {
            const known = comptime known: {
                var list: []const u8 = "label";
                for (bounds) |bound| list = list ++ ", " ++ bound.knob;
                break :known list;
            };
            return wrong(arena, "{s} is unknown or of the wrong type; expected whole numbers and a text of {s}", .{ knob, known });
        }
    }
    inline for (bounds) |bound| {
        const value = @field(config, bound.knob);
        if (value < bound.least or value > bound.greatest) {
            return wrong(arena, "{s} is {d}; expected {d} to {d}", .{ bound.knob, value, bound.least, bound.greatest });
        }
    }
    if (config.label.len > label_bytes) {
        return wrong(arena, "label has {d} bytes; expected at most {d}", .{ config.label.len, label_bytes });
    }
    return .{ .config = config };
}

fn wrong(arena: Allocator, comptime format: []const u8, values: anytype) Allocator.Error!Reading {
    return .{ .wrong = try std.fmt.allocPrint(arena, "configuration: " ++ format, values) };
}

/// Sets one knob; false when there is none of this name and type.
fn set(config: *Config, knob: []const u8, value: std.json.Value) bool {
    if (std.mem.eql(u8, knob, "label")) {
        if (value != .string) return false;
        config.label = value.string;
        return true;
    }
    inline for (bounds) |bound| {
        if (std.mem.eql(u8, knob, bound.knob)) {
            if (value != .integer or value.integer < 0) return false;
            @field(config, bound.knob) = @intCast(value.integer);
            return true;
        }
    }
    return false;
}

/// What the rules look at.
pub const Tree = struct {
    runs: [levels]usize = @splat(0),
    sizes: [levels]u64 = @splat(0),
    free_disk: u64,
    guard_l0_runs: u64,

    fn bytes(tree: Tree, from: usize, to: usize) u64 {
        var sum: u64 = 0;
        for (tree.sizes[from .. to + 1]) |size| sum +|= size;
        return sum;
    }

    fn filled(tree: Tree, level: usize) bool {
        return tree.runs[level] > 0;
    }

    /// The first filled level after `level`.
    fn next(tree: Tree, level: usize) ?usize {
        for (level + 1..levels) |other| if (tree.filled(other)) return other;
        return null;
    }
};

pub const Span = struct { from: u8, to: u8 };
pub const Step = union(enum) { wait: ?u64, merge: Span, move: Span, major: u64 };
pub const Decision = struct { step: Step, reason: []const u8 };
const Candidate = struct { step: Step, reason: []const u8, reads: u64 };

/// A call's inputs, and memory for its words.
const Case = struct {
    arena: Allocator,
    config: Config,
    tree: Tree,

    fn say(case: Case, comptime format: []const u8, values: anytype) Allocator.Error![]const u8 {
        return std.fmt.allocPrint(case.arena, format, values);
    }

    fn similar(case: Case, younger: u64, older: u64) bool {
        return @as(u128, older) * 100 <= @as(u128, younger) * case.config.similar_percent;
    }

    fn merge(case: Case, from: usize, to: usize, reason: []const u8) Candidate {
        return .{ .step = .{ .merge = span(from, to) }, .reason = reason, .reads = case.tree.bytes(from, to) };
    }
};

fn span(from: usize, to: usize) Span {
    return .{ .from = @intCast(from), .to = @intCast(to) };
}

/// The next step for the tree, with its reason.
pub fn decide(arena: Allocator, config: Config, tree: Tree) Allocator.Error!Decision {
    const case = Case{ .arena = arena, .config = config, .tree = tree };
    const decision = try choose(case);
    if (config.label.len == 0) return decision;
    return .{ .step = decision.step, .reason = try case.say("{s}: {s}", .{ config.label, decision.reason }) };
}

fn choose(case: Case) Allocator.Error!Decision {
    var wanted: ?Candidate = null;
    inline for (.{ crowded, sink, space, level0, similarLevels }) |rule| {
        if (try rule(case)) |candidate| {
            if (candidate.reads <= case.tree.free_disk) {
                return .{ .step = candidate.step, .reason = candidate.reason };
            }
            if (wanted == null) wanted = candidate;
        }
    }
    const first = wanted orelse return .{ .step = .{ .wait = null }, .reason = "nothing to do" };
    return .{
        .step = .{ .wait = case.config.ask_again_ms },
        .reason = try case.say("{d} bytes need room and {d} are free", .{ first.reads, case.tree.free_disk }),
    };
}

fn crowded(case: Case) Allocator.Error!?Candidate {
    for (1..levels) |level| {
        const runs = case.tree.runs[level];
        if (runs > 1) return case.merge(level, level, try case.say("level {d} has {d} runs", .{ level, runs }));
    }
    return null;
}

fn sink(case: Case) Allocator.Error!?Candidate {
    var from: usize = last_level - 1;
    while (from > 0) : (from -= 1) {
        if (case.tree.runs[from] != 1 or case.tree.filled(from + 1)) continue;
        const to = (case.tree.next(from) orelse levels) - 1;
        return .{
            .step = .{ .move = span(from, to) },
            .reason = try case.say("level {d} can sink to level {d}", .{ from, to }),
            .reads = 0,
        };
    }
    return null;
}

fn space(case: Case) Allocator.Error!?Candidate {
    const tree = case.tree;
    var last: usize = last_level;
    while (last > 0 and !tree.filled(last)) last -= 1;
    if (last == 0) return null;
    const above = tree.bytes(0, last - 1);
    const below = tree.sizes[last];
    if (@as(u128, above) * 100 <= @as(u128, below) * case.config.max_space_percent) return null;
    return .{
        .step = .{ .major = case.config.table_bytes },
        .reason = try case.say("{d} bytes lie above {d} in level {d}", .{ above, below, last }),
        .reads = tree.bytes(0, last_level),
    };
}

fn level0(case: Case) Allocator.Error!?Candidate {
    const tree = case.tree;
    if (tree.runs[0] < @min(case.config.level0_runs, @max(2, tree.guard_l0_runs))) return null;
    const reason = try case.say("level 0 has {d} runs", .{tree.runs[0]});
    const first = tree.next(0) orelse return case.merge(0, last_level, reason);
    if (case.similar(tree.sizes[0], tree.sizes[first])) return case.merge(0, first, reason);
    if (first > 1) return case.merge(0, first - 1, reason);
    return makeRoom(case);
}

/// Every level is taken: the two neighbours that differ the least become one.
fn makeRoom(case: Case) Allocator.Error!?Candidate {
    var sizes: [levels]u128 = undefined;
    for (&sizes, case.tree.sizes) |*size, bytes| size.* = @max(1, bytes);
    var best: ?usize = null;
    for (1..last_level) |level| {
        if (!case.tree.filled(level) or !case.tree.filled(level + 1)) continue;
        const closer = if (best) |other| sizes[level + 1] * sizes[other] < sizes[other + 1] * sizes[level] else true;
        if (closer) best = level;
    }
    const level = best orelse return null;
    return case.merge(level, level + 1, try case.say("levels {d} and {d} make room", .{ level, level + 1 }));
}

fn similarLevels(case: Case) Allocator.Error!?Candidate {
    var level = case.tree.next(0) orelse return null;
    while (case.tree.next(level)) |below| : (level = below) {
        if (case.similar(case.tree.sizes[level], case.tree.sizes[below])) {
            return case.merge(level, below, try case.say("levels {d} and {d} are similar", .{ level, below }));
        }
    }
    return null;
}
