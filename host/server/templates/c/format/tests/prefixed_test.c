/* Native tests of the laws that every format keeps: no WebAssembly, no daemon. `make test` runs them. */
#include "prefixed.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(what)                                                            \
    do {                                                                        \
        if (!(what)) {                                                          \
            failures++;                                                         \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #what); \
        }                                                                       \
    } while (0)

static struct bytes text(const char *text) { return (struct bytes){(const uint8_t *)text, strlen(text)}; }

static bool comes_back(const struct config *config, struct bytes key) {
    struct record stored, decoded;
    if (encode_key(config, key, &stored) != NULL) {
        return false;
    }
    const char *why = decode_key(config, (struct bytes){stored.at, stored.length}, &decoded);
    free(stored.at);
    if (why != NULL) {
        return false;
    }
    bool same = decoded.length == key.length && (key.length == 0 || memcmp(decoded.at, key.at, key.length) == 0);
    free(decoded.at);
    return same;
}

static bool refused(const char *json, const char *named) {
    struct config config;
    const char *wrong = config_read(&config, text(json));
    return wrong != NULL && strstr(wrong, named) != NULL;
}

static bool guesses(const struct config *config, const char *stored) {
    struct record key;
    if (decode_key(config, text(stored), &key) != NULL) {
        return false;
    }
    free(key.at);
    return true;
}

int main(void) {
    struct config config;
    EXPECT(config_read(&config, text("{}")) == NULL && config.prefix.length == 7);
    EXPECT(comes_back(&config, (struct bytes){0}) && comes_back(&config, text("tenant/")));
    for (int byte = 0; byte < 256; byte++) {
        uint8_t key[2] = {(uint8_t)byte, (uint8_t)(byte * 7)};
        EXPECT(comes_back(&config, (struct bytes){key, 1}) && comes_back(&config, (struct bytes){key, 2}));
    }
    EXPECT(!guesses(&config, "") && !guesses(&config, "tenant") && !guesses(&config, "other/a"));

    EXPECT(config_read(&config, text("")) == NULL);
    EXPECT(config_read(&config, text(" {\"prefix\": \"ab\"} ")) == NULL && config.prefix.length == 2);
    EXPECT(refused("{\"prefix\": \"\"}", "prefix is empty"));
    EXPECT(refused("{\"prefix\": 7}", "prefix is not a text"));
    EXPECT(refused("{\"prefix\": \"a\\u0062\"}", "an escape"));
    EXPECT(refused("{\"prefix\": \"a", "no end"));
    EXPECT(refused("{\"prefixes\": \"a\"}", "the only field"));
    EXPECT(refused("[]", "expected a JSON object"));
    EXPECT(refused("{} {}", "nothing after"));
    if (failures == 0) {
        printf("all tests passed\n");
    }
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
