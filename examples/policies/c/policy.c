/* The decision. Rules give candidates in the order of their urgency; the first that fits the free disk wins. */
#include "policy.h"

/* Products of two sizes have up to 128 bits. */
typedef unsigned __int128 product;

struct candidate {
    bool exists;
    struct step step;
    uint64_t reads;
};

uint64_t add_saturating(uint64_t one, uint64_t other) {
    return one > UINT64_MAX - other ? UINT64_MAX : one + other;
}

static uint64_t bytes_between(const struct tree *tree, uint8_t from, uint8_t to) {
    uint64_t sum = 0;
    for (uint8_t level = from; level <= to; level++) {
        sum = add_saturating(sum, tree->bytes[level]);
    }
    return sum;
}

static bool filled(const struct tree *tree, uint8_t level) {
    return tree->runs[level] > 0;
}

/* The first filled level after `level`; LEVELS when there is none. */
static uint8_t next_filled(const struct tree *tree, uint8_t level) {
    do {
        level++;
    } while (level < LEVELS && !filled(tree, level));
    return level;
}

static bool similar(const struct config *config, uint64_t younger, uint64_t older) {
    return (product)older * 100 <= (product)younger * config->similar_percent;
}

/* Pieces of a reason: words and numbers in turn. */
static void say(struct text *reason, const char *before, uint64_t number, const char *after) {
    text_words(reason, before);
    text_number(reason, number);
    text_words(reason, after);
}

static struct candidate merge(const struct tree *tree, uint8_t from, uint8_t to) {
    struct step step = {.kind = STEP_MERGE, .from = from, .to = to};
    return (struct candidate){.exists = true, .step = step, .reads = bytes_between(tree, from, to)};
}

static struct candidate crowded(const struct config *config, const struct tree *tree, struct text *reason) {
    (void)config;
    for (uint8_t level = 1; level < LEVELS; level++) {
        if (tree->runs[level] > 1) {
            say(reason, "level ", level, " has ");
            say(reason, "", tree->runs[level], " runs");
            return merge(tree, level, level);
        }
    }
    return (struct candidate){0};
}

static struct candidate sink(const struct config *config, const struct tree *tree, struct text *reason) {
    (void)config;
    for (uint8_t from = LAST - 1; from > 0; from--) {
        if (tree->runs[from] != 1 || filled(tree, from + 1)) {
            continue;
        }
        uint8_t to = next_filled(tree, from) - 1;
        say(reason, "level ", from, " can sink to level ");
        text_number(reason, to);
        struct step step = {.kind = STEP_MOVE, .from = from, .to = to};
        return (struct candidate){.exists = true, .step = step};
    }
    return (struct candidate){0};
}

static struct candidate space(const struct config *config, const struct tree *tree, struct text *reason) {
    uint8_t last = LAST;
    while (last > 0 && !filled(tree, last)) {
        last--;
    }
    if (last == 0) {
        return (struct candidate){0};
    }
    uint64_t above = bytes_between(tree, 0, last - 1), below = tree->bytes[last];
    if ((product)above * 100 <= (product)below * config->max_space_percent) {
        return (struct candidate){0};
    }
    say(reason, "", above, " bytes lie above ");
    say(reason, "", below, " in level ");
    text_number(reason, last);
    struct step step = {.kind = STEP_MAJOR, .value = config->table_bytes};
    return (struct candidate){.exists = true, .step = step, .reads = bytes_between(tree, 0, LAST)};
}

/* Every level is taken: the two neighbours that differ the least become one. */
static struct candidate make_room(const struct tree *tree, struct text *reason) {
    uint64_t size[LEVELS];
    uint8_t best = 0;
    for (uint8_t level = 0; level < LEVELS; level++) {
        size[level] = tree->bytes[level] > 0 ? tree->bytes[level] : 1;
    }
    for (uint8_t level = 1; level < LAST; level++) {
        if (!filled(tree, level) || !filled(tree, level + 1)) {
            continue;
        }
        if (best == 0 || (product)size[level + 1] * size[best] < (product)size[best + 1] * size[level]) {
            best = level;
        }
    }
    if (best == 0) {
        return (struct candidate){0};
    }
    say(reason, "levels ", best, " and ");
    say(reason, "", best + 1, " make room");
    return merge(tree, best, best + 1);
}

static struct candidate level0(const struct config *config, const struct tree *tree, struct text *reason) {
    uint64_t guard = tree->guard_l0_runs > 2 ? tree->guard_l0_runs : 2;
    uint64_t limit = config->level0_runs < guard ? config->level0_runs : guard;
    if (tree->runs[0] < limit) {
        return (struct candidate){0};
    }
    uint8_t first = next_filled(tree, 0), to = LAST;
    if (first < LEVELS) {
        bool joins = similar(config, tree->bytes[0], tree->bytes[first]);
        if (!joins && first == 1) {
            return make_room(tree, reason);
        }
        to = joins ? first : first - 1;
    }
    say(reason, "level 0 has ", tree->runs[0], " runs");
    return merge(tree, 0, to);
}

static struct candidate similar_levels(const struct config *config, const struct tree *tree,
                                       struct text *reason) {
    uint8_t level = next_filled(tree, 0);
    for (uint8_t next; level < LAST && (next = next_filled(tree, level)) < LEVELS; level = next) {
        if (similar(config, tree->bytes[level], tree->bytes[next])) {
            say(reason, "levels ", level, " and ");
            say(reason, "", next, " are similar");
            return merge(tree, level, next);
        }
    }
    return (struct candidate){0};
}

typedef struct candidate (*rule)(const struct config *, const struct tree *, struct text *);

struct step decide(const struct config *config, const struct tree *tree, struct text *reason) {
    static const rule RULES[] = {crowded, sink, space, level0, similar_levels};
    if (config->label.length > 0) {
        text_bytes(reason, config->label.bytes, config->label.length);
        text_words(reason, ": ");
    }
    const size_t begin = reason->length;
    struct candidate wanted = {0};
    for (size_t index = 0; index < sizeof RULES / sizeof RULES[0]; index++) {
        struct candidate candidate = RULES[index](config, tree, reason);
        if (candidate.exists && candidate.reads <= tree->free_disk) {
            return candidate.step;
        }
        reason->length = begin;
        if (candidate.exists && !wanted.exists) {
            wanted = candidate;
        }
    }
    if (!wanted.exists) {
        text_words(reason, "nothing to do");
        return (struct step){.kind = STEP_WAIT};
    }
    say(reason, "", wanted.reads, " bytes need room and ");
    say(reason, "", tree->free_disk, " are free");
    return (struct step){.kind = STEP_WAIT_FOR, .value = config->ask_again_ms};
}
