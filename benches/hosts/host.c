/* host.c: runs a program, and all that it starts, on a processor that says to be another one.
 *
 *     host v2|v3|amd PROGRAM ARGUMENT...
 *
 * `v3` has no more than x86-64-v3, and none of the fast string instructions; `v2` no more than x86-64-v2; `amd` is `v3` of
 * another vendor, with other caches. What the program can execute stays the same; only `cpuid` answers otherwise, which the kernel
 * makes fault (arch_prctl(2), ARCH_SET_CPUID) so that this tracer answers it. Needs a processor that can (`cpuid_fault` in
 * /proc/cpuinfo). Exits as the program does; 97 where it cannot be done.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };
enum processor { V2, V3, AMD } processor;

/* Bits of leaf 1's ecx: FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C. */
static const uint32_t V3_LEAF_1 = 1 << 12 | 1 << 22 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 29;
/* Bits of leaf 7's ebx: of x86-64-v3 (BMI1, AVX2, BMI2), and what is left with it (FSGSBASE, SMEP, INVPCID, RDSEED, ADX, SMAP,
 * CLFLUSHOPT, CLWB): all but AVX-512, ERMS, RTM, SHA. */
static const uint32_t V3_LEAF_7 = 1 << 3 | 1 << 5 | 1 << 8;
static const uint32_t KEPT_LEAF_7 = 1 << 0 | 1 << 7 | 1 << 10 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 24;

static void answer(struct user_regs_struct *regs) {
    uint32_t leaf = (uint32_t)regs->rax, subleaf = (uint32_t)regs->rcx, a, b, c, d;
    __cpuid_count(leaf, subleaf, a, b, c, d);
    int is_amd = processor == AMD;
    if (leaf == 0 && is_amd) memcpy(&b, "Auth", 4), memcpy(&d, "enti", 4), memcpy(&c, "cAMD", 4);
    if (leaf == 1) {
        /* Haswell, Nehalem, Zen 2. */
        a = processor == V3 ? 0x306c3 : processor == V2 ? 0x106a5 : 0x830f10;
        if (processor == V2) c &= ~V3_LEAF_1;
    }
    if (leaf == 7) {
        a = c = d = 0;
        b = subleaf ? 0 : b & (processor == V2 ? KEPT_LEAF_7 : KEPT_LEAF_7 | V3_LEAF_7);
    }
    if ((leaf == 4 || leaf == 2) && is_amd) a = b = c = d = 0;
    /* Half as many sets in the second and the third level. */
    if (leaf == 4 && (a >> 5 & 7) >= 2) c >>= 1;
    if (leaf == 0x14 || leaf == 0x19 || (leaf >= 0x1b && leaf <= 0x24)) a = b = c = d = 0;
    if (leaf == 0x80000001 && processor == V2) c &= ~(1u << 5); /* LZCNT */
    if (is_amd && leaf == 0x80000000) a = 0x8000001e;
    if (is_amd && leaf == 0x80000001) c |= 1 << 22; /* leaf 0x8000001d is there */
    if (is_amd && leaf == 0x80000005) c = d = 0x20080140; /* 32 KiB in 8 ways */
    if (is_amd && leaf == 0x80000006) c = 0x02006140, d = 0x01009140; /* 512 KiB and 16 MiB, of which there are 2 */
    if (is_amd && leaf == 0x8000001d) {
        static const uint32_t levels[4][4] = {
            {0x121, 7u << 22 | 63, 63, 0}, {0x122, 7u << 22 | 63, 63, 0},
            {0x143, 7u << 22 | 63, 1023, 2}, {0x163, 15u << 22 | 63, 16383, 1}};
        a = b = c = d = 0;
        if (subleaf < 4) a = levels[subleaf][0], b = levels[subleaf][1], c = levels[subleaf][2], d = levels[subleaf][3];
    }
    regs->rax = a, regs->rbx = b, regs->rcx = c, regs->rdx = d;
}

/* The program has been replaced: from its first instruction on `cpuid` faults. */
static void make_cpuid_fault(pid_t pid) {
    struct user_regs_struct before, regs;
    int status;
    /* execve is still to put its result into rax. */
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status)) return;
    ptrace(PTRACE_GETREGS, pid, 0, &before);
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, before.rip, 0);
    ptrace(PTRACE_POKETEXT, pid, before.rip, (word & ~0xffffL) | 0x050f); /* syscall */
    regs = before;
    regs.rax = SYS_arch_prctl, regs.rdi = ARCH_SET_CPUID, regs.rsi = 0, regs.orig_rax = -1;
    ptrace(PTRACE_SETREGS, pid, 0, &regs);
    do {
        ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
        if (waitpid(pid, &status, __WALL) < 0) return;
    } while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP);
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    if ((long)regs.rax < 0) {
        fprintf(stderr, "host: this processor or kernel cannot make cpuid fault\n");
        exit(97);
    }
    ptrace(PTRACE_POKETEXT, pid, before.rip, word);
    before.orig_rax = -1;
    ptrace(PTRACE_SETREGS, pid, 0, &before);
}

static int is_cpuid(pid_t pid, struct user_regs_struct *regs) {
    ptrace(PTRACE_GETREGS, pid, 0, regs);
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, regs->rip, 0);
    return errno == 0 && (word & 0xffff) == 0xa20f;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: host v2|v3|amd PROGRAM ARGUMENT...\n"), 97;
    processor = !strcmp(argv[1], "v2") ? V2 : !strcmp(argv[1], "v3") ? V3 : AMD;
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(97);
    }
    int status, started = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == first) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        struct user_regs_struct regs;
        if (event == PTRACE_EVENT_EXEC) {
            make_cpuid_fault(pid);
            signal = 0;
        } else if (event) {
            signal = 0; /* a new process or thread, which stops by itself */
        } else if (signal == SIGSEGV && is_cpuid(pid, &regs)) {
            answer(&regs);
            regs.rip += 2;
            ptrace(PTRACE_SETREGS, pid, 0, &regs);
            signal = 0;
        } else if (signal == SIGSTOP) {
            if (!started++)
                ptrace(PTRACE_SETOPTIONS, pid, 0,
                       PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
            signal = 0;
        }
        ptrace(PTRACE_CONT, pid, 0, signal);
    }
    return 97;
}
