/* The plugin: what the world `compaction-strategy` asks for, around the policy.
 *
 * The functions are declared in generated/compaction_strategy.h, which `mortise plugin build` writes from the
 * contract in wit/. What they hand back is freed by the bindings; what they are handed they free themselves. */
#include "compaction_strategy.h"
#include "policy.h"

void exports_mortise_plugin_plugin_describe(exports_mortise_plugin_plugin_identity_t *ret) {
    compaction_strategy_string_dup(&ret->name, "{{name}}");
    compaction_strategy_string_dup(&ret->version, "0.1.0");
    compaction_strategy_string_dup(&ret->summary, "Merges level 0 into the level below when it is full.");
}

bool exports_mortise_plugin_compaction_decide(exports_mortise_plugin_compaction_call_t *call,
                                              exports_mortise_plugin_compaction_view_t *view,
                                              exports_mortise_plugin_compaction_decision_t *ret,
                                              compaction_strategy_string_t *err) {
    size_t runs[LEVELS] = {0};
    for (size_t level = 0; level < view->levels.len && level < LEVELS; level++) {
        runs[level] = view->levels.ptr[level].runs.len;
    }
    struct config config;
    const char *wrong = config_read(&config, (const char *)call->config.ptr, call->config.len);
    if (wrong != NULL) {
        compaction_strategy_string_dup(err, wrong);
    } else {
        struct step step = decide(&config, runs);
        compaction_strategy_string_dup(&ret->reason, step.reason);
        if (step.kind == STEP_MERGE) {
            ret->step.tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_MERGE;
            ret->step.val.merge.from = step.from;
            ret->step.val.merge.to = step.to;
        } else {
            ret->step.tag = EXPORTS_MORTISE_PLUGIN_COMPACTION_STEP_WAIT;
            ret->step.val.wait.is_some = false;
        }
    }
    exports_mortise_plugin_compaction_call_free(call);
    exports_mortise_plugin_compaction_view_free(view);
    return wrong == NULL;
}
