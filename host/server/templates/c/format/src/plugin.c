/* The plugin: what the world `format` asks for, around the format.
 *
 * The functions are declared in generated/format.h, which `mortise plugin build` writes from the contract in wit/. What
 * they hand back is freed by the bindings; what they are handed they free themselves. */
#include "format.h"
#include "prefixed.h"

#include <stdlib.h>

typedef exports_mortise_plugin_codec_result_list_u8_string_t answer_t;
typedef exports_mortise_plugin_codec_list_result_list_u8_string_t answers_t;

/* What becomes of one record. */
typedef const char *(*turn)(const struct config *, struct bytes, struct record *);

void exports_mortise_plugin_plugin_describe(exports_mortise_plugin_plugin_identity_t *ret) {
    format_string_dup(&ret->name, "{{name}}");
    format_string_dup(&ret->version, "0.1.0");
    format_string_dup(&ret->summary, "Stores every key behind a prefix.");
}

static const char *configure(struct config *config, const format_string_t *text) {
    return config_read(config, (struct bytes){text->ptr, text->len});
}

bool exports_mortise_plugin_codec_get_properties(format_string_t *config,
                                                 exports_mortise_plugin_codec_properties_t *ret,
                                                 format_string_t *err) {
    struct config unused;
    const char *wrong = configure(&unused, config);
    if (wrong != NULL) {
        format_string_dup(err, wrong);
    }
    /* A prefix changes nothing about the order of keys. */
    ret->keeps_order = true;
    format_string_free(config);
    return wrong == NULL;
}

/* One answer for each record, in their order. */
static void answer_all(const struct config *config, turn turn, const format_list_list_u8_t *records, answers_t *ret) {
    ret->len = records->len;
    ret->ptr = calloc(records->len > 0 ? records->len : 1, sizeof(answer_t));
    if (ret->ptr == NULL) {
        abort();
    }
    for (size_t at = 0; at < records->len; at++) {
        struct record made;
        const char *why = turn(config, (struct bytes){records->ptr[at].ptr, records->ptr[at].len}, &made);
        ret->ptr[at].is_err = why != NULL;
        if (why != NULL) {
            format_string_dup(&ret->ptr[at].val.err, why);
        } else {
            ret->ptr[at].val.ok.ptr = made.at;
            ret->ptr[at].val.ok.len = made.length;
        }
    }
}

static void answer(format_string_t *text, turn turn, format_list_list_u8_t *keys, format_list_list_u8_t *values,
                   exports_mortise_plugin_codec_answers_t *ret) {
    struct config config;
    /* `get_properties` has accepted the configuration before anything is encoded. */
    if (configure(&config, text) != NULL) {
        abort();
    }
    answer_all(&config, turn, keys, &ret->keys);
    answer_all(&config, copy_value, values, &ret->values);
    /* The prefix lies in the text. */
    format_string_free(text);
    format_list_list_u8_free(keys);
    format_list_list_u8_free(values);
}

void exports_mortise_plugin_codec_encode(format_string_t *config, format_list_list_u8_t *keys,
                                         format_list_list_u8_t *values,
                                         exports_mortise_plugin_codec_answers_t *ret) {
    answer(config, encode_key, keys, values, ret);
}

void exports_mortise_plugin_codec_decode(format_string_t *config, format_list_list_u8_t *keys,
                                         format_list_list_u8_t *values,
                                         exports_mortise_plugin_codec_answers_t *ret) {
    answer(config, decode_key, keys, values, ret);
}
