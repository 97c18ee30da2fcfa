/* Reads the configuration: a JSON object of whole numbers and one text. Anything else in it is an error, so a
 * reader of just this much JSON will do. */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

struct knob {
    const char *name;
    size_t place;
    uint64_t standard;
    uint64_t least;
    uint64_t greatest;
};

static const struct knob KNOBS[] = {
    {"level0_runs", offsetof(struct config, level0_runs), 4, 2, 64},
    {"similar_percent", offsetof(struct config, similar_percent), 200, 100, 1000},
    {"max_space_percent", offsetof(struct config, max_space_percent), 100, 10, 1000},
    {"table_bytes", offsetof(struct config, table_bytes), 67108864, 65536, 1073741824},
    {"ask_again_ms", offsetof(struct config, ask_again_ms), 10000, 1, 86400000},
};
enum { KNOB_COUNT = sizeof KNOBS / sizeof KNOBS[0], LABEL_BYTES = 64 };

struct reader {
    const char *at;
    const char *end;
    struct text *error;
};

static uint64_t *knob_value(struct config *config, const struct knob *knob) {
    return (uint64_t *)((char *)config + knob->place);
}

/* Says what was expected; `false`, so that callers can return it. */
static bool expected(struct reader *reader, const char *what) {
    text_words(reader->error, "configuration: expected ");
    text_words(reader->error, what);
    return false;
}

static void skip_space(struct reader *reader) {
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL && *reader->at != '\0') {
        reader->at++;
    }
}

static bool take(struct reader *reader, char sign) {
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != sign) {
        return false;
    }
    reader->at++;
    return true;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_unit(struct reader *reader) {
    int32_t unit = 0;
    for (int digit = 0; digit < 4; digit++, reader->at++) {
        static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
        const char *found =
            reader->at < reader->end ? memchr(DIGITS, *reader->at, sizeof DIGITS - 1) : NULL;
        if (found == NULL) {
            return -1;
        }
        unit = unit * 16 + (int32_t)((found - DIGITS) % 16);
    }
    return unit;
}

static void put_character(struct text *text, uint32_t code) {
    char bytes[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t LEADS[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t place = length; place-- > 1; code >>= 6) {
        bytes[place] = (char)(0x80 | (code & 0x3f));
    }
    bytes[0] = (char)(LEADS[length] | code);
    text_bytes(text, bytes, length);
}

/* What follows a backslash. */
static bool read_escape(struct reader *reader, struct text *text) {
    static const char SIGNS[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    char sign = reader->at < reader->end ? *reader->at++ : '\0';
    const char *found = memchr(SIGNS, sign, sizeof SIGNS - 1);
    if (found != NULL) {
        text_bytes(text, MEANT + (found - SIGNS), 1);
        return true;
    }
    int32_t unit = sign == 'u' ? read_unit(reader) : -1;
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return false;
    }
    if (unit < 0xd800 || unit > 0xdbff) {
        put_character(text, (uint32_t)unit);
        return true;
    }
    /* Characters beyond 16 bits are written as two units. */
    if (reader->end - reader->at < 2 || reader->at[0] != '\\' || reader->at[1] != 'u') {
        return false;
    }
    reader->at += 2;
    int32_t second = read_unit(reader);
    if (second < 0xdc00 || second > 0xdfff) {
        return false;
    }
    put_character(text, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(second - 0xdc00));
    return true;
}

static bool read_text(struct reader *reader, struct text *text) {
    if (!take(reader, '"')) {
        return false;
    }
    while (reader->at < reader->end) {
        char sign = *reader->at++;
        if (sign == '"') {
            return true;
        }
        if ((unsigned char)sign < 0x20 || (sign == '\\' && !read_escape(reader, text))) {
            return false;
        }
        if (sign != '\\') {
            text_bytes(text, &sign, 1);
        }
    }
    return false;
}

/* A whole number; more than 64 bits become the largest of them, which is out of every bound. */
static bool read_number(struct reader *reader, uint64_t *number) {
    skip_space(reader);
    const char *begin = reader->at;
    for (*number = 0; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        uint64_t digit = (uint64_t)(*reader->at - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    bool padded = reader->at - begin > 1 && *begin == '0';
    bool goes_on = reader->at < reader->end && strchr(".eE", *reader->at) != NULL;
    return reader->at > begin && !padded && !goes_on;
}

/* Reads the value of the knob `name`. */
static bool read_value(struct reader *reader, const struct text *name, struct config *config) {
    const char *what = "a whole number";
    bool fits = false, known = false;
    if (name->length == 5 && memcmp(name->bytes, "label", 5) == 0) {
        config->label.length = 0;
        what = "a text of whole characters", known = true;
        fits = read_text(reader, &config->label);
    }
    for (size_t index = 0; index < KNOB_COUNT; index++) {
        const struct knob *knob = &KNOBS[index];
        if (name->length == strlen(knob->name) && memcmp(name->bytes, knob->name, name->length) == 0) {
            known = true;
            fits = read_number(reader, knob_value(config, knob));
        }
    }
    if (fits) {
        return true;
    }
    text_words(reader->error, known ? "configuration: " : "configuration: unknown knob ");
    text_bytes(reader->error, name->bytes, name->length);
    text_words(reader->error, "; expected ");
    text_words(reader->error, known ? what : "one of label");
    for (size_t index = 0; !known && index < KNOB_COUNT; index++) {
        text_words(reader->error, ", ");
        text_words(reader->error, KNOBS[index].name);
    }
    return false;
}

static bool read_object(struct reader *reader, struct config *config) {
    if (!take(reader, '{')) {
        return expected(reader, "a JSON object");
    }
    if (take(reader, '}')) {
        return true;
    }
    do {
        struct text name = {0};
        skip_space(reader);
        bool named = read_text(reader, &name);
        if (named && !take(reader, ':')) {
            named = false;
        }
        bool right = named ? read_value(reader, &name, config) : expected(reader, "\"knob\": value");
        free(name.bytes);
        if (!right) {
            return false;
        }
    } while (take(reader, ','));
    return take(reader, '}') || expected(reader, "`,` or `}` after a value");
}

static bool check_bounds(struct config *config, struct text *error) {
    for (size_t index = 0; index < KNOB_COUNT; index++) {
        const struct knob *knob = &KNOBS[index];
        uint64_t value = *knob_value(config, knob);
        if (value >= knob->least && value <= knob->greatest) {
            continue;
        }
        text_words(error, "configuration: ");
        text_words(error, knob->name);
        text_words(error, " is ");
        text_number(error, value);
        text_words(error, "; expected ");
        text_number(error, knob->least);
        text_words(error, " to ");
        text_number(error, knob->greatest);
        return false;
    }
    if (config->label.length > LABEL_BYTES) {
        text_words(error, "configuration: label has ");
        text_number(error, config->label.length);
        text_words(error, " bytes; expected at most ");
        text_number(error, LABEL_BYTES);
        return false;
    }
    return true;
}

bool config_read(struct config *config, const char *json, size_t length, struct text *error) {
    for (size_t index = 0; index < KNOB_COUNT; index++) {
        *knob_value(config, &KNOBS[index]) = KNOBS[index].standard;
    }
    struct reader reader = {.at = json, .end = json + length, .error = error};
    skip_space(&reader);
    if (reader.at == reader.end) {
        return true;
    }
    if (!read_object(&reader, config)) {
        return false;
    }
    skip_space(&reader);
    if (reader.at != reader.end) {
        return expected(&reader, "nothing after the object");
    }
    return check_bounds(config, error);
}
