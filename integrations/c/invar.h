/* invar.h: measure a region of a program by simulation.
 *
 * Link with -linvar_engine, or dlopen libinvar_engine.so. Linux x86-64 only. None of the functions touches
 * libc, so they may be called from anywhere; they must not be called from two threads at once. While a region runs, calls from
 * within it and from other threads are refused.
 *
 * The ABI only grows: a function or a field, once here, keeps its meaning. INVAR_ABI counts the growths.
 */
#ifndef INVAR_H
#define INVAR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INVAR_ABI 2

/* What the functions return. invar_error() has the sentence for the last failure. */
enum invar_status {
    INVAR_OK = 0,
    INVAR_BAD_ARGUMENT = 1,    /* unknown machine, null pointer, ... */
    INVAR_UNSUPPORTED = 2,     /* this host cannot be used, see invar_error() */
    INVAR_NOT_ATTACHED = 3,    /* invar_attach() comes first */
    INVAR_NESTED = 4,          /* a region while one runs, inside it or on another thread: the callback was called
                                  without being counted by itself */
    INVAR_IO = 5               /* the file could not be written */
};

/* Values of `mode` of invar_attach. */
enum invar_mode {
    INVAR_COUNTS = 0,
    INVAR_SIMULATION = 1,
    INVAR_REFERENCE = 2, /* simulation by the slow drain: the same counts, to check the fast one */
    INVAR_CALL_PATHS = 0x100 /* added to a simulation: warm passes are told by call path, too (ABI 2) */
};

/* Values of `pass` of invar_region. */
enum invar_pass {
    INVAR_COLD = 0, /* empties the simulated caches first */
    INVAR_WARM = 1  /* goes on with the caches as the last region left them */
};

/* Flags of invar_region. */
enum invar_flags {
    INVAR_OWN_STACK = 0,    /* the callback runs on a stack at a fixed address */
    INVAR_CALLER_STACK = 1  /* it runs on the caller's stack, its top rounded down to 4 KiB */
};

/* Indices of invar_result.events. */
enum invar_event {
    INVAR_INSTRUCTIONS = 0,
    INVAR_READS = 1,
    INVAR_WRITES = 2,
    INVAR_L1I_MISSES = 3,
    INVAR_L1D_READ_MISSES = 4,
    INVAR_L1D_WRITE_MISSES = 5,
    INVAR_L2_MISSES = 6,
    INVAR_L3_MISSES = 7,
    INVAR_MEMORY_ACCESSES = 8,
    INVAR_REP_BYTES = 9,
    INVAR_REP_ITERATIONS = 10,
    INVAR_BRANCHES_TAKEN = 11,
    INVAR_SYSTEM_CALLS = 12
};

struct invar_result {
    uint32_t size;        /* set by the caller: sizeof(struct invar_result) */
    uint32_t event_count; /* how many of `events` this engine filled */
    uint64_t diagnostics; /* bits, see docs/diagnostics in METHODOLOGY.md; 0 is good */
    uint64_t events[32];
};

/* The ABI of the library that was loaded. At least INVAR_ABI, or it is older than this header. */
uint32_t invar_abi(void);

/* Makes the engine ready in this process. `machine` is a preset's name or a machine's canonical text, NULL for
 * the default. May be called again to change machine or mode. */
int invar_attach(const char *machine, int mode);

/* Calls function(argument) as one measured region named `benchmark` and keeps the counts for invar_flush.
 * `result` may be NULL. The callback must return normally: exceptions must not cross this call. */
int invar_region(const char *benchmark, int pass, int flags, void (*function)(void *), void *argument,
                 struct invar_result *result);

/* Keeps a JSON object of the caller's beside the benchmark of that name. */
int invar_describe(const char *benchmark, const char *json);

/* Appends what was kept since the last flush to `path` (created where missing). */
int invar_flush(const char *path);

/* The sentence for the last failure in this process; "" where there was none. Valid until the next call. */
const char *invar_error(void);

#ifdef __cplusplus
}
#endif
#endif
