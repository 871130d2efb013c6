// A program as an action: JSON on standard input, the last line of standard output is the result.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char input[1 << 16];

// The text after "key": in the input, up to the next quote. It need be no parser.
static const char *field(const char *key, char *into, size_t room) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(input, quoted);
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) return NULL;
    size_t n = strcspn(++at, "\"");
    if (n >= room) n = room - 1;
    memcpy(into, at, n);
    into[n] = 0;
    return into;
}

int main(int argc, char **argv) {
    size_t length = 0, got;
    while (length < sizeof input - 1 && (got = fread(input + length, 1, sizeof input - 1 - length, stdin)) > 0) length += got;
    // There is no more, however often it is asked.
    char more[16];
    if (fread(more, 1, sizeof more, stdin) != 0 || !feof(stdin)) return 9;
    char order[32] = "", text[256] = "";
    field("do", order, sizeof order);
    field("text", text, sizeof text);
    printf("read %zu bytes\n", length);
    fflush(stdout);
    fprintf(stderr, "order %s\n", order);
    if (!strcmp(order, "facts")) {
        printf("{\"id\":\"%s\",\"name\":\"%s\",\"argc\":%d,\"arg\":\"%s\",\"home\":%s,\"own\":\"%s\"}\n",
               getenv("__OW_ACTIVATION_ID"), getenv("__OW_ACTION_NAME"), argc, argc ? argv[0] : "",
               getenv("HOME") ? "true" : "false", getenv("OWN") ? getenv("OWN") : "");
    } else if (!strcmp(order, "code")) {
        printf("{\"text\":\"%s\"}\n", text);
        exit(text[0] - '0');
    } else if (!strcmp(order, "raw")) {
        fputs(text, stdout);
    } else if (!strcmp(order, "trailing")) {
        printf("{\"text\":\"%s\"}\n\n\n\r\n", text);
    } else if (!strcmp(order, "silent")) {
        return 0;
    } else if (!strcmp(order, "large")) {
        printf("{\"a\":\"");
        for (long i = atol(text) - 8; i > 0; i--) putchar('x');
        printf("\"}\n");
    } else if (!strcmp(order, "abort")) {
        printf("{\"before\":true}\n");
        fflush(stdout);
        abort();
    } else if (!strcmp(order, "loop")) {
        printf("{\"before\":true}\n");
        fflush(stdout);
        for (volatile unsigned long n = 0;; n++) {}
    } else if (!strcmp(order, "open")) {
        FILE *file = fopen(text, "r");
        printf("{\"opened\":%s}\n", file ? "true" : "false");
    }
    return 0;
}
