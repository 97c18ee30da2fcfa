/* Stores every key behind a prefix, and values as they are. */
#include "prefixed.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const uint8_t *at;
    const uint8_t *end;
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

/* Takes a text without escapes; these would need a place of their own. */
static const char *take_text(struct reader *reader, struct bytes *text) {
    if (!take(reader, "\"")) {
        return "configuration: prefix is not a text";
    }
    text->at = reader->at;
    for (; reader->at < reader->end && *reader->at != '"'; reader->at++) {
        if (*reader->at == '\\' || *reader->at < ' ') {
            return "configuration: prefix has an escape or a control character; expected plain characters";
        }
    }
    text->length = (size_t)(reader->at - text->at);
    return take(reader, "\"") ? NULL : "configuration: prefix has no end";
}

const char *config_read(struct config *config, struct bytes json) {
    static const uint8_t usual[] = "tenant/";
    struct reader reader = {.at = json.at, .end = json.at + json.length};
    config->prefix = (struct bytes){usual, sizeof usual - 1};
    if (!take(&reader, "{")) {
        return take(&reader, "") && reader.at == reader.end ? NULL : "configuration: expected a JSON object";
    }
    if (!take(&reader, "}")) {
        do {
            /* Further fields are read here, each by its name. */
            if (!take(&reader, "\"prefix\"")) {
                return "configuration: expected `prefix`, the only field, found another name";
            }
            if (!take(&reader, ":")) {
                return "configuration: expected `:` after prefix";
            }
            const char *wrong = take_text(&reader, &config->prefix);
            if (wrong != NULL) {
                return wrong;
            }
        } while (take(&reader, ","));
        if (!take(&reader, "}")) {
            return "configuration: expected `,` or `}` after a text";
        }
    }
    take(&reader, "");
    if (reader.at != reader.end) {
        return "configuration: expected nothing after the object";
    }
    return config->prefix.length > 0 ? NULL : "configuration: prefix is empty; expected at least one character";
}

/* Makes one record of two pieces. */
static void join(struct bytes first, struct bytes second, struct record *joined) {
    joined->length = first.length + second.length;
    /* An empty record has a place, too, for NULL means that there is no memory left: a trap of this call. */
    joined->at = malloc(joined->length > 0 ? joined->length : 1);
    if (joined->at == NULL) {
        abort();
    }
    if (first.length > 0) {
        memcpy(joined->at, first.at, first.length);
    }
    if (second.length > 0) {
        memcpy(joined->at + first.length, second.at, second.length);
    }
}

const char *encode_key(const struct config *config, struct bytes key, struct record *stored) {
    join(config->prefix, key, stored);
    return NULL;
}

const char *decode_key(const struct config *config, struct bytes stored, struct record *key) {
    struct bytes prefix = config->prefix;
    if (stored.length < prefix.length || memcmp(stored.at, prefix.at, prefix.length) != 0) {
        /* What no key is stored as is refused, never guessed at. */
        return "the stored key does not begin with the prefix";
    }
    struct bytes rest = {stored.at + prefix.length, stored.length - prefix.length};
    join((struct bytes){0}, rest, key);
    return NULL;
}

const char *copy_value(const struct config *config, struct bytes value, struct record *copy) {
    (void)config;
    join((struct bytes){0}, value, copy);
    return NULL;
}
