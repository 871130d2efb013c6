// A program that neither reads nor prints.
int main(void) { return 0; }
