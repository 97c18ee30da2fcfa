/* The plugin: what the world `compaction-strategy` asks for, around the decision in policy.c.
 *
 * The functions are declared in the bindings. Whatever they hand back is freed by the bindings, and whatever
 * they are handed they free themselves. */
#include "compaction_strategy.h"
#include "policy.h"

#include <stdlib.h>

typedef exports_mortise_plugin_compaction_view_t view;

void exports_mortise_plugin_plugin_describe(exports_mortise_plugin_plugin_identity_t *ret) {
    compaction_strategy_string_dup(&ret->name, "size-tiered-c");
    compaction_strategy_string_dup(&ret->version, "1.0.0");
    compaction_strategy_string_dup(&ret->summary, "Size-tiered compaction, in C.");
}

static struct tree read_view(const view *view) {
    struct tree tree = {.free_disk = view->free_disk, .guard_l0_runs = view->guard_l0_runs};
    for (size_t level = 0; level < view->levels.len && level < LEVELS; level++) {
        const exports_mortise_plugin_compaction_list_run_t *runs = &view->levels.ptr[level].runs;
        tree.runs[level] = runs->len;
        for (size_t run = 0; run < runs->len; run++) {
            const exports_mortise_plugin_compaction_list_table_t *tables = &runs->ptr[run].tables;
            for (size_t table = 0; table < tables->len; table++) {
                tree.bytes[level] = add_saturating(tree.bytes[level], tables->ptr[table].bytes);
            }
        }
    }
    return tree;
}

static void write_step(struct step step, exports_mortise_plugin_compaction_step_t *ret) {
    switch (step.kind) {
    case STEP_WAIT:
    case STEP_WAIT_FOR:
        ret->tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_WAIT;
        ret->val.wait.is_some = step.kind == STEP_WAIT_FOR;
        ret->val.wait.val = step.value;
        break;
    case STEP_MERGE:
        ret->tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MERGE;
        ret->val.merge.from = step.from;
        ret->val.merge.to = step.to;
        break;
    case STEP_MOVE:
        ret->tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MOVE;
        ret->val.move.from = step.from;
        ret->val.move.to = step.to;
        break;
    case STEP_MAJOR:
        ret->tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MAJOR;
        ret->val.major = step.value;
        break;
    }
}

/* Hands a text over; its memory is the bindings' from here on. */
static void hand_over(struct text *text, compaction_strategy_string_t *ret) {
    ret->ptr = (uint8_t *)text->bytes;
    ret->len = text->length;
}

bool exports_mortise_plugin_compaction_decide(exports_mortise_plugin_compaction_call_t *call, view *view,
                                              exports_mortise_plugin_compaction_decision_t *ret,
                                              compaction_strategy_string_t *err) {
    struct config config = {0};
    struct text words = {0};
    bool configured = config_read(&config, (const char *)call->config.ptr, call->config.len, &words);
    if (configured) {
        struct tree tree = read_view(view);
        struct step step = decide(&config, &tree, &words);
        write_step(step, &ret->step);
        hand_over(&words, &ret->reason);
        if (step.kind == STEP_WAIT_FOR) {
            mortise_plugin_log_write(MORTISE_PLUGIN_LOG_LEVEL_WARN, &ret->reason);
        }
    } else {
        hand_over(&words, err);
    }
    free(config.label.bytes);
    exports_mortise_plugin_compaction_call_free(call);
    exports_mortise_plugin_compaction_view_free(view);
    return configured;
}
