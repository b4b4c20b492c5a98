/* Small loops for `cargo xtask bench model`, each bound by something: caches, branches, computing, calls.
 *
 * No test and no benchmark by itself: a shared library, whose kernels are called natively and under the engine. A kernel takes some
 * milliseconds, works on what `kernels_prepare` has made, leaves that as it found it, and returns a number, so that no compiler may
 * leave its work out. `NAME__before` and `NAME__after` do the same, the latter after an optimisation that is known to be one. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL(name) __attribute__((noinline)) uint64_t kernel_##name(void)
#define SIDE 192
#define GRID 1024
#define NODES 65536
#define FEW 4096
#define MANY (4 << 20)

static uint64_t state = 88172645463325252u;
static uint64_t chance(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

struct node { struct node *next; uint64_t value; };
struct particle { double x, y, z, vx, vy, vz, mass, charge; };
struct tree { struct tree *less, *more; uint64_t key; };

static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
static int32_t grid[GRID][GRID], turned[GRID][GRID];
static struct node *nodes;
static uint64_t flat[NODES], sorted_numbers[FEW], numbers[NODES];
static uint8_t bytes[NODES], other_bytes[NODES];
static struct particle particles[FEW];
static double xs[FEW], vxs[FEW], reals[NODES];
static uint32_t *large, table[1 << 16];
static double *stream[3];
static char text[2048];
static struct tree *root, trees[FEW];
static uint8_t program[64];
volatile uint64_t divisor = 1024, zero = 0;

static int by_value(const void *one, const void *two) {
    uint64_t x = *(const uint64_t *)one, y = *(const uint64_t *)two;
    return (x > y) - (x < y);
}

void kernels_prepare(void) {
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) a[i][j] = i + j, b[i][j] = i - j;
    for (int i = 0; i < GRID; i++)
        for (int j = 0; j < GRID; j++) grid[i][j] = (int32_t)chance();
    nodes = malloc(NODES * sizeof *nodes);
    uint32_t *order = malloc(NODES * sizeof *order);
    for (uint32_t i = 0; i < NODES; i++) order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t j = chance() % (i + 1), kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
        nodes[i].value = flat[i] = i;
        numbers[i] = chance(), bytes[i] = (uint8_t)chance(), reals[i] = (double)(chance() % 1000) + 1;
    }
    free(order);
    for (int i = 0; i < FEW; i++) {
        sorted_numbers[i] = 3 * (uint64_t)i;
        particles[i].x = xs[i] = i, particles[i].vx = vxs[i] = 0.5;
        trees[i].key = chance() % 1000000;
        struct tree **at = &root;
        while (*at) at = trees[i].key < (*at)->key ? &(*at)->less : &(*at)->more;
        *at = &trees[i];
    }
    large = malloc(MANY * sizeof *large);
    for (int i = 0; i < MANY; i++) large[i] = (uint32_t)chance();
    for (int i = 0; i < 3; i++) {
        stream[i] = malloc(512 * 1024 * sizeof(double));
        for (int j = 0; j < 512 * 1024; j++) stream[i][j] = i + j;
    }
    for (int i = 0; i < 1 << 16; i++) table[i] = (uint32_t)chance();
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 64; i++) program[i] = chance() % 6;
}

/* Caches. */
KERNEL(matrix__before) {
    memset(c, 0, sizeof c);
    for (int j = 0; j < SIDE; j++)
        for (int k = 0; k < SIDE; k++)
            for (int i = 0; i < SIDE; i++) c[i][j] += a[i][k] * b[k][j];
    return (uint64_t)c[3][5];
}
KERNEL(matrix__after) {
    memset(c, 0, sizeof c);
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++)
            for (int j = 0; j < SIDE; j++) c[i][j] += a[i][k] * b[k][j];
    return (uint64_t)c[3][5];
}
KERNEL(columns__before) {
    uint64_t sum = 0;
    for (int j = 0; j < GRID; j++)
        for (int i = 0; i < GRID; i++) sum += grid[i][j];
    return sum;
}
KERNEL(columns__after) {
    uint64_t sum = 0;
    for (int i = 0; i < GRID; i++)
        for (int j = 0; j < GRID; j++) sum += grid[i][j];
    return sum;
}
KERNEL(list__before) {
    uint64_t sum = 0;
    struct node *node = nodes;
    for (int i = 0; i < NODES; i++) sum += node->value, node = node->next;
    return sum;
}
KERNEL(list__after) {
    uint64_t sum = 0;
    for (int i = 0; i < NODES; i++) sum += flat[i];
    return sum;
}
KERNEL(transpose__before) {
    for (int i = 0; i < GRID; i++)
        for (int j = 0; j < GRID; j++) turned[j][i] = grid[i][j];
    return turned[3][5];
}
KERNEL(transpose__after) {
    for (int i = 0; i < GRID; i += 16)
        for (int j = 0; j < GRID; j += 16)
            for (int k = i; k < i + 16; k++)
                for (int l = j; l < j + 16; l++) turned[l][k] = grid[k][l];
    return turned[3][5];
}
KERNEL(structures__before) {
    for (int turn = 0; turn < 100; turn++)
        for (int i = 0; i < FEW; i++) particles[i].x += particles[i].vx;
    return (uint64_t)particles[5].x & zero;
}
KERNEL(structures__after) {
    for (int turn = 0; turn < 100; turn++)
        for (int i = 0; i < FEW; i++) xs[i] += vxs[i];
    return (uint64_t)xs[5] & zero;
}
KERNEL(random_access) {
    uint64_t sum = 0, at = 1;
    for (int i = 0; i < 200000; i++) at = at * 6364136223846793005u + 1442695040888963407u, sum += large[at >> 42];
    return sum;
}
KERNEL(stream_triad) {
    for (int i = 0; i < 512 * 1024; i++) stream[0][i] = stream[1][i] + 3 * stream[2][i];
    return (uint64_t)stream[0][7];
}
KERNEL(tree_lookups) {
    uint64_t found = 0;
    for (int i = 0; i < 20000; i++) {
        struct tree *at = root;
        uint64_t key = numbers[i] % 1000000;
        while (at && at->key != key) at = key < at->key ? at->less : at->more;
        found += at != NULL;
    }
    return found;
}

/* Branches. */
KERNEL(branches__before) {
    uint64_t sum = 0;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++)
            if (bytes[i] >= 128) { sum += bytes[i]; __asm__ volatile("" : "+r"(sum)); }
    return sum;
}
KERNEL(branches__after) {
    uint64_t sum = 0;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) {
            sum += bytes[i] & -(uint64_t)(bytes[i] >> 7);
            __asm__ volatile("" : "+r"(sum));
        }
    return sum;
}
KERNEL(search__before) {
    uint64_t found = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t key = numbers[i] % (3 * FEW);
        for (int j = 0; j < FEW; j++)
            if (sorted_numbers[j] >= key) { found += sorted_numbers[j] == key; break; }
    }
    return found;
}
KERNEL(search__after) {
    uint64_t found = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t key = numbers[i] % (3 * FEW), low = 0, high = FEW;
        while (low < high) {
            uint64_t middle = (low + high) / 2;
            if (sorted_numbers[middle] < key) low = middle + 1; else high = middle;
        }
        found += low < FEW && sorted_numbers[low] == key;
    }
    return found;
}
KERNEL(sort__before) {
    static uint64_t copy[1500];
    memcpy(copy, numbers, sizeof copy);
    for (int i = 1; i < 1500; i++) {
        uint64_t one = copy[i];
        int j = i;
        for (; j > 0 && copy[j - 1] > one; j--) copy[j] = copy[j - 1];
        copy[j] = one;
    }
    return copy[7];
}
KERNEL(sort__after) {
    static uint64_t copy[1500];
    memcpy(copy, numbers, sizeof copy);
    qsort(copy, 1500, sizeof *copy, by_value);
    return copy[7];
}
KERNEL(quicksort) {
    static uint64_t copy[20000];
    memcpy(copy, numbers, sizeof copy);
    qsort(copy, 20000, sizeof *copy, by_value);
    return copy[7];
}
KERNEL(bytecode) {
    uint64_t x = 1, y = 2;
    for (int turn = 0; turn < 10000; turn++)
        for (int i = 0; i < 64; i++)
            switch (program[i]) {
                case 0: x += y; break;
                case 1: y ^= x; break;
                case 2: x = x * 3 + 1; break;
                case 3: y -= x >> 3; break;
                case 4: if (x & 1) y++; break;
                default: x ^= y << 1; break;
            }
    return x + y;
}
static uint64_t add(uint64_t x) { return x + 7; }
static uint64_t turn(uint64_t x) { return x << 3 | x >> 61; }
static uint64_t mix(uint64_t x) { return x ^ x >> 9; }
static uint64_t twice(uint64_t x) { return x * 2; }
static uint64_t (*const calls[4])(uint64_t) = { add, turn, mix, twice };
KERNEL(indirect_calls) {
    uint64_t x = 1;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < NODES; j++) x = calls[bytes[j] & 3](x);
    return x;
}

/* Computing. */
KERNEL(remainder__before) {
    uint64_t sum = 0, n = divisor;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) sum += numbers[i] % n;
    return sum;
}
KERNEL(remainder__after) {
    uint64_t sum = 0, n = divisor;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) sum += numbers[i] & (n - 1);
    return sum;
}
KERNEL(chain__before) {
    double sum = 0;
    for (int turn = 0; turn < 16; turn++)
        for (int i = 0; i < NODES; i++) sum += reals[i];
    return (uint64_t)sum;
}
KERNEL(chain__after) {
    double one = 0, two = 0, three = 0, four = 0;
    for (int turn = 0; turn < 16; turn++)
        for (int i = 0; i < NODES; i += 4) one += reals[i], two += reals[i + 1], three += reals[i + 2], four += reals[i + 3];
    return (uint64_t)(one + two + three + four);
}
KERNEL(roots__before) {
    uint64_t count = 0;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) count += sqrt(reals[i]) < 20;
    return count;
}
KERNEL(roots__after) {
    uint64_t count = 0;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) count += reals[i] < 400;
    return count;
}
KERNEL(bits__before) {
    uint64_t count = 0;
    for (int i = 0; i < 20000; i++)
        for (uint64_t x = numbers[i]; x; x >>= 1) count += x & 1;
    return count;
}
KERNEL(bits__after) {
    uint64_t count = 0;
    for (int i = 0; i < 20000; i++)
        for (uint64_t x = numbers[i]; x; x &= x - 1) count++;
    return count;
}
KERNEL(length__before) {
    uint64_t sum = 0;
    for (int turn = 0; turn < 20; turn++)
        for (size_t i = 0; i < strlen(text); i++) { sum += text[i]; __asm__ volatile("" ::: "memory"); }
    return sum;
}
KERNEL(length__after) {
    uint64_t sum = 0;
    for (int turn = 0; turn < 20; turn++)
        for (size_t i = 0, length = strlen(text); i < length; i++) { sum += text[i]; __asm__ volatile("" ::: "memory"); }
    return sum;
}
KERNEL(copy__before) {
    for (int turn = 0; turn < 20; turn++)
        for (int i = 0; i < NODES; i++) { other_bytes[i] = bytes[i]; __asm__ volatile("" ::: "memory"); }
    return other_bytes[9];
}
KERNEL(copy__after) {
    for (int turn = 0; turn < 20; turn++) { memcpy(other_bytes, bytes, NODES); __asm__ volatile("" ::: "memory"); }
    return other_bytes[9];
}
KERNEL(allocation__before) {
    struct node *list = NULL;
    for (uint64_t i = 0; i < 30000; i++) {
        struct node *node = malloc(sizeof *node);
        node->next = list, node->value = i, list = node;
    }
    uint64_t sum = 0;
    while (list) { struct node *next = list->next; sum += list->value; free(list); list = next; }
    return sum;
}
KERNEL(allocation__after) {
    struct node *all = malloc(30000 * sizeof *all), *list = NULL;
    for (uint64_t i = 0; i < 30000; i++) all[i].next = list, all[i].value = i, list = &all[i];
    uint64_t sum = 0;
    for (; list; list = list->next) sum += list->value;
    free(all);
    return sum;
}
KERNEL(xorshift) {
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 1000000; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x;
}
KERNEL(mandelbrot) {
    uint64_t inside = 0;
    for (int i = 0; i < 120; i++)
        for (int j = 0; j < 120; j++) {
            double x = 0, y = 0, cx = -2 + i / 40.0, cy = -1.5 + j / 40.0;
            int n = 0;
            for (; n < 100 && x * x + y * y < 4; n++) { double t = x * x - y * y + cx; y = 2 * x * y + cy, x = t; }
            inside += n == 100;
        }
    return inside;
}
KERNEL(checksum) {
    uint32_t sum = ~0u;
    for (int turn = 0; turn < 8; turn++)
        for (int i = 0; i < NODES; i++) sum = sum >> 8 ^ table[(sum ^ bytes[i]) & 255];
    return sum;
}
KERNEL(histogram) {
    static uint32_t count[256];
    for (int turn = 0; turn < 16; turn++)
        for (int i = 0; i < NODES; i++) count[bytes[i]]++;
    return count[7];
}
KERNEL(sines) {
    double sum = 0;
    for (int i = 0; i < NODES; i++) sum += sin(reals[i]);
    return (uint64_t)(sum * 1000);
}
KERNEL(formatting) {
    char line[64];
    uint64_t length = 0;
    for (int i = 0; i < 10000; i++) length += snprintf(line, sizeof line, "%d: %s, %.3f", i, "text", reals[i]);
    return length;
}
static uint64_t fibonacci(uint64_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
KERNEL(recursion) { return fibonacci(25); }
