/* The policy without the contract, so that it compiles natively, too. See ../SPEC.md. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEVELS = 7, LAST = LEVELS - 1 };

/* A text that grows as it is written. Its memory is the caller's. */
struct text {
    char *bytes;
    size_t length;
    size_t capacity;
};

void text_bytes(struct text *text, const char *bytes, size_t length);
void text_words(struct text *text, const char *words);
void text_number(struct text *text, uint64_t number);

/* What an operator can set. */
struct config {
    uint64_t level0_runs;
    uint64_t similar_percent;
    uint64_t max_space_percent;
    uint64_t table_bytes;
    uint64_t ask_again_ms;
    struct text label;
};

/* Reads the configuration; otherwise says in `error` what is wrong. */
bool config_read(struct config *config, const char *json, size_t length, struct text *error);

/* What the rules look at. */
struct tree {
    size_t runs[LEVELS];
    uint64_t bytes[LEVELS];
    uint64_t free_disk;
    uint64_t guard_l0_runs;
};

uint64_t add_saturating(uint64_t one, uint64_t other);

enum step_kind { STEP_WAIT, STEP_WAIT_FOR, STEP_MERGE, STEP_MOVE, STEP_MAJOR };

struct step {
    enum step_kind kind;
    uint8_t from;
    uint8_t to;
    /* Milliseconds of STEP_WAIT_FOR, bytes of STEP_MAJOR. */
    uint64_t value;
};

/* The next step for the tree, with its reason. */
struct step decide(const struct config *config, const struct tree *tree, struct text *reason);

#endif
