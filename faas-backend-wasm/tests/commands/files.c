// A program that does with files what its input says: {"do":"read","path":"…"}. It tells whether it could.
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char input[4096];

static void field(const char *key, char *into, size_t room) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(input, quoted);
    into[0] = 0;
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) return;
    size_t n = strcspn(++at, "\"");
    if (n >= room) n = room - 1;
    memcpy(into, at, n);
    into[n] = 0;
}

int main(void) {
    input[fread(input, 1, sizeof input - 1, stdin)] = 0;
    char order[32], path[256];
    field("do", order, sizeof order);
    field("path", path, sizeof path);
    int done = 0;
    char text[64] = "";
    if (!strcmp(order, "read")) {
        FILE *file = fopen(path, "r");
        done = file && fgets(text, sizeof text, file);
    } else if (!strcmp(order, "write")) {
        FILE *file = fopen(path, "w");
        done = file && fputs("written", file) >= 0 && fclose(file) == 0;
    } else if (!strcmp(order, "list")) {
        DIR *folder = opendir(path);
        done = folder && readdir(folder);
    } else if (!strcmp(order, "remove")) {
        done = unlink(path) == 0;
    } else if (!strcmp(order, "folder")) {
        done = mkdir(path, 0777) == 0;
    } else if (!strcmp(order, "link")) {
        done = symlink("/etc/passwd", path) == 0;
    } else if (!strcmp(order, "move")) {
        done = rename(path, "/desk/moved") == 0;
    } else if (!strcmp(order, "open many")) {
        while (fopen(path, "r")) done++;
    }
    printf("{\"done\":%s,\"text\":\"%s\"}\n", done ? "true" : "false", text);
    return 0;
}
