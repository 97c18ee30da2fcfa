/* Native tests: no WebAssembly, no daemon. `make test` runs them. */
#include "policy.h"

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

static struct step decided(size_t level0, size_t level5) {
    struct config config = {.l0_runs = 4};
    size_t runs[LEVELS] = {[0] = level0, [5] = level5};
    return decide(&config, runs);
}

static bool refused(const char *json, const char *named) {
    struct config config;
    const char *wrong = config_read(&config, json, strlen(json));
    return wrong != NULL && strstr(wrong, named) != NULL;
}

int main(void) {
    EXPECT(decided(3, 0).kind == STEP_WAIT);
    struct step step = decided(4, 0);
    EXPECT(step.kind == STEP_MERGE && step.from == 0 && step.to == 6);
    step = decided(4, 1);
    EXPECT(step.kind == STEP_MERGE && step.from == 0 && step.to == 5);
    step = decided(0, 2);
    EXPECT(step.kind == STEP_MERGE && step.from == 5 && step.to == 5);

    struct config config;
    EXPECT(config_read(&config, "", 0) == NULL && config.l0_runs == 4);
    EXPECT(config_read(&config, " {} ", 4) == NULL && config.l0_runs == 4);
    EXPECT(config_read(&config, "{\"l0_runs\": 12}", 15) == NULL && config.l0_runs == 12);
    EXPECT(refused("{\"l0_runs\": 0}", "l0_runs is out of bounds"));
    EXPECT(refused("{\"l0_runs\": 18446744073709551620}", "l0_runs is out of bounds"));
    EXPECT(refused("{\"l0_runs\": \"4\"}", "l0_runs is not a whole number"));
    EXPECT(refused("{\"l0_runs\": 4.5}", "after a whole number"));
    EXPECT(refused("{\"runs\": 4}", "the only knob"));
    EXPECT(refused("[]", "expected a JSON object"));
    EXPECT(refused("{} {}", "nothing after"));
    if (failures == 0) {
        printf("all tests passed\n");
    }
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
