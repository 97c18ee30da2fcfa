/* The policy without the contract, so that it compiles natively and is tested there. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEVELS = 7 };

/* What an operator can set: `mortise plugin use {{name}} --config '{"l0_runs": 8}'`. */
struct config {
    /* Runs that level 0 collects before they are merged; 1 to 1000. */
    uint64_t l0_runs;
};

/* Reads the configuration, a JSON object. Returns NULL, or a sentence that says what is wrong. */
const char *config_read(struct config *config, const char *json, size_t length);

enum step_kind { STEP_WAIT, STEP_MERGE };

struct step {
    enum step_kind kind;
    uint8_t from;
    uint8_t to;
    /* Why; the operator sees it beside the step. */
    const char *reason;
};

/* The next step for a tree with so many runs in each level. */
struct step decide(const struct config *config, const size_t runs[LEVELS]);

#endif
