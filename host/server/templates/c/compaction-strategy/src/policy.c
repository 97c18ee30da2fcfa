/* Merges level 0 when it is full, and keeps one run in every other level. */
#include "policy.h"

#include <string.h>

struct reader {
    const char *at;
    const char *end;
};

/* Takes a word if it comes next, after white space. */
static bool take(struct reader *reader, const char *word) {
    size_t length = strlen(word);
    while (reader->at < reader->end && (*reader->at == ' ' || (*reader->at >= '\t' && *reader->at <= '\r'))) {
        reader->at++;
    }
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0) {
        return false;
    }
    reader->at += length;
    return true;
}

/* Takes a whole number; one that is too large for any knob becomes a million. */
static bool take_number(struct reader *reader, uint64_t *number) {
    take(reader, "");
    const char *begin = reader->at;
    for (*number = 0; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        *number = *number < 100000 ? *number * 10 + (uint64_t)(*reader->at - '0') : 1000000;
    }
    return reader->at > begin;
}

const char *config_read(struct config *config, const char *json, size_t length) {
    struct reader reader = {.at = json, .end = json + length};
    config->l0_runs = 4;
    if (!take(&reader, "{")) {
        return take(&reader, "") && reader.at == reader.end ? NULL : "configuration: expected a JSON object";
    }
    if (!take(&reader, "}")) {
        do {
            /* Further knobs are read here, each by its name. */
            if (!take(&reader, "\"l0_runs\"")) {
                return "configuration: expected `l0_runs`, the only knob, found another name";
            }
            if (!take(&reader, ":") || !take_number(&reader, &config->l0_runs)) {
                return "configuration: l0_runs is not a whole number";
            }
        } while (take(&reader, ","));
        if (!take(&reader, "}")) {
            return "configuration: expected `,` or `}` after a whole number";
        }
    }
    take(&reader, "");
    if (reader.at != reader.end) {
        return "configuration: expected nothing after the object";
    }
    if (config->l0_runs < 1 || config->l0_runs > 1000) {
        return "configuration: l0_runs is out of bounds; expected 1 to 1000";
    }
    return NULL;
}

struct step decide(const struct config *config, const size_t runs[LEVELS]) {
    /* Another strategy may have left several runs in a level. */
    for (uint8_t level = 1; level < LEVELS; level++) {
        if (runs[level] > 1) {
            return (struct step){STEP_MERGE, level, level, "a level below 0 has several runs"};
        }
    }
    if (runs[0] < config->l0_runs) {
        return (struct step){.kind = STEP_WAIT, .reason = "level 0 is not full"};
    }
    /* Into the first level that holds anything; what lies between must be empty, and is. */
    uint8_t below = 1;
    while (below < LEVELS - 1 && runs[below] == 0) {
        below++;
    }
    return (struct step){STEP_MERGE, 0, below, "level 0 is full"};
}
