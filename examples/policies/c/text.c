/* Texts that grow. Small, because printf and its relatives would be most of the component. */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

void text_bytes(struct text *text, const char *bytes, size_t length) {
    if (length > text->capacity - text->length) {
        size_t capacity = 2 * (text->length + length);
        char *grown = realloc(text->bytes, capacity);
        if (grown == NULL) {
            abort();
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    if (length > 0) {
        memcpy(text->bytes + text->length, bytes, length);
        text->length += length;
    }
}

void text_words(struct text *text, const char *words) {
    text_bytes(text, words, strlen(words));
}

void text_number(struct text *text, uint64_t number) {
    char digits[20];
    size_t begin = sizeof digits;
    do {
        digits[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_bytes(text, digits + begin, sizeof digits - begin);
}
