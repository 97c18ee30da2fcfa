//! The plugin: what the world `compaction-strategy` asks for, around the decision in policy.zig.
//!
//! The C bindings call the functions exported here, free what these hand back, and leave it to them to free
//! what they are handed.

const std = @import("std");
const policy = @import("policy.zig");
const c = @import("contract");

export fn exports_mortise_plugin_plugin_describe(ret: *c.exports_mortise_plugin_plugin_identity_t) void {
    c.compaction_strategy_string_dup(&ret.name, "size-tiered-zig");
    c.compaction_strategy_string_dup(&ret.version, "1.0.0");
    c.compaction_strategy_string_dup(&ret.summary, "Size-tiered compaction, in Zig.");
}

export fn exports_mortise_plugin_compaction_decide(
    call: *c.exports_mortise_plugin_compaction_call_t,
    view: *c.exports_mortise_plugin_compaction_view_t,
    ret: *c.exports_mortise_plugin_compaction_decision_t,
    err: *c.compaction_strategy_string_t,
) bool {
    defer c.exports_mortise_plugin_compaction_call_free(call);
    defer c.exports_mortise_plugin_compaction_view_free(view);
    var arena = std.heap.ArenaAllocator.init(std.heap.c_allocator);
    defer arena.deinit();
    // Out of memory is a fault of this plugin under its limit; a trap says so.
    return decide(arena.allocator(), call, view, ret, err) catch @trap();
}

fn decide(
    arena: std.mem.Allocator,
    call: *const c.exports_mortise_plugin_compaction_call_t,
    view: *const c.exports_mortise_plugin_compaction_view_t,
    ret: *c.exports_mortise_plugin_compaction_decision_t,
    err: *c.compaction_strategy_string_t,
) std.mem.Allocator.Error!bool {
    const text = if (call.config.len == 0) "" else call.config.ptr[0..call.config.len];
    const config = switch (try policy.readConfig(arena, text)) {
        .config => |config| config,
        .wrong => |wrong| {
            handOver(wrong, err);
            return false;
        },
    };
    const decision = try policy.decide(arena, config, readView(view));
    handOver(decision.reason, &ret.reason);
    writeStep(decision.step, &ret.step);
    if (decision.step == .wait and decision.step.wait != null) {
        c.mortise_plugin_log_write(c.MORTISE_PLUGIN_LOG_LEVEL_WARN, &ret.reason);
    }
    return true;
}

fn handOver(text: []const u8, ret: *c.compaction_strategy_string_t) void {
    c.compaction_strategy_string_dup_n(ret, text.ptr, text.len);
}

fn readView(view: *const c.exports_mortise_plugin_compaction_view_t) policy.Tree {
    var tree = policy.Tree{ .free_disk = view.free_disk, .guard_l0_runs = view.guard_l0_runs };
    for (0..@min(view.levels.len, policy.levels)) |level| {
        const runs = view.levels.ptr[level].runs;
        tree.runs[level] = runs.len;
        for (0..runs.len) |run| {
            const tables = runs.ptr[run].tables;
            for (0..tables.len) |table| tree.sizes[level] +|= tables.ptr[table].bytes;
        }
    }
    return tree;
}

fn writeStep(step: policy.Step, ret: *c.exports_mortise_plugin_compaction_step_t) void {
    switch (step) {
        .wait => |milliseconds| {
            ret.tag = c.EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_WAIT;
            ret.val.wait = .{ .is_some = milliseconds != null, .val = milliseconds orelse 0 };
        },
        .merge => |span| {
            ret.tag = c.EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MERGE;
            ret.val.merge = .{ .from = span.from, .to = span.to };
        },
        .move => |span| {
            ret.tag = c.EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MOVE;
            ret.val.move = .{ .from = span.from, .to = span.to };
        },
        .major => |bytes| {
            ret.tag = c.EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MAJOR;
            ret.val.major = bytes;
        },
    }
}
