/* The format without the contract, so that it compiles natively and is tested there.
 *
 * A format is a bijection and a pure function of its configuration and the bytes: there is no clock, no randomness, and
 * no memory between calls that could matter. The volume lives by that, so the host checks it. */
#ifndef PREFIXED_H
#define PREFIXED_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to somebody else. */
struct bytes {
    const uint8_t *at;
    size_t length;
};

/* Bytes from malloc; whoever gets them frees them. */
struct record {
    uint8_t *at;
    size_t length;
};

/* What an operator can set; it is stored with the volume and never changes under its data:
 * `mortise volume create tenant --format {{name}} --format-config '{"prefix": "tenant/"}'`. */
struct config {
    /* What stands before every stored key; at least one byte. It lies in the text that was read. */
    struct bytes prefix;
};

/* Reads the configuration, a JSON object. Returns NULL, or a sentence that says what is wrong. */
const char *config_read(struct config *config, struct bytes json);

/* Both return NULL, or a sentence that says why the record is refused; then there is nothing to free. */
const char *encode_key(const struct config *config, struct bytes key, struct record *stored);
const char *decode_key(const struct config *config, struct bytes stored, struct record *key);

/* Values are stored as they are. */
const char *copy_value(const struct config *config, struct bytes value, struct record *copy);

#endif
