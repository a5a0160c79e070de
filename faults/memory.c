/* Stands between CPython and its allocators, so that the n-th allocation of one thread fails.
 *
 * Loaded by memory.py, which speaks to it through the memory_* functions. All three domains (raw, memory, objects) are counted
 * together, and only in the thread that armed it: another thread's allocations come at other moments in each run. What fails is
 * what asks for memory, malloc, calloc and a realloc alike; free never does. The stack of the first failure is kept.
 *
 * Rust's own allocations do not come this way: without memory for them the process ends, as Rust defines it.
 *
 * Rejected: _testcapi.set_nomemory, which does the same, but cannot say whether it struck, counts all threads, and is not in
 * every CPython that people have.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <stddef.h>
#include <string.h>

/* As in CPython's pymem.h since 3.5; its headers are not asked for. */
typedef struct {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *pointer, size_t size);
    void (*free)(void *context, void *pointer);
} PyMemAllocatorEx;
extern void PyMem_GetAllocator(int domain, PyMemAllocatorEx *allocator);
extern void PyMem_SetAllocator(int domain, PyMemAllocatorEx *allocator);

/* Where CPython itself does not stand it, whatever loop runs: what they call is given its memory. */
static const char *const spared[] = {
    "PyFunction_NewWithQualName", /* 3.13.0 crashes: `def` releases what it has not filled in yet. */
    "PyCell_New",                 /* 3.11 keeps what the frame of the function held that has the cell. */
    "_PyEval_FrameClearAndPop",   /* Forgets the exception that is on its way: "Nothing we can do about it". Up to 3.12 it has no name
                                     that can be looked up: memory.py knows by memory_in() what is left then. */
};

enum { DOMAINS = 3, DEPTH = 32, NEAR = 8 };

static PyMemAllocatorEx below[DOMAINS];
static __thread int armed;
static long count, first, last;
static int fired, depth;
static void *stack[DEPTH];

/* Whether one of the nearest callers has this name. */
static int is_in(void *const *here, int found, const char *name)
{
    for (int frame = 0; frame < found && frame < NEAR; frame++) {
        Dl_info known;
        if (dladdr(here[frame], &known) && known.dli_sname && !strcmp(known.dli_sname, name)) return 1;
    }
    return 0;
}

static int strikes(void)
{
    if (!armed) return 0;
    long index = count++;
    if (index < first || index >= last) return 0;
    void *here[DEPTH];
    int found = backtrace(here, DEPTH);
    for (size_t name = 0; name < sizeof spared / sizeof *spared; name++)
        if (is_in(here, found, spared[name])) return 0;
    if (!fired++) memcpy(stack, here, sizeof here), depth = found;
    return 1;
}

static void *failing_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *real = context;
    return strikes() ? NULL : real->malloc(real->context, size);
}

static void *failing_calloc(void *context, size_t items, size_t size)
{
    PyMemAllocatorEx *real = context;
    return strikes() ? NULL : real->calloc(real->context, items, size);
}

static void *failing_realloc(void *context, void *pointer, size_t size)
{
    PyMemAllocatorEx *real = context;
    return strikes() ? NULL : real->realloc(real->context, pointer, size);
}

static void real_free(void *context, void *pointer)
{
    PyMemAllocatorEx *real = context;
    real->free(real->context, pointer);
}

/* Once, with the GIL held. */
void memory_install(void)
{
    depth = backtrace(stack, DEPTH); /* Its first call loads a library. */
    for (int domain = 0; domain < DOMAINS; domain++) {
        PyMem_GetAllocator(domain, &below[domain]);
        PyMemAllocatorEx above = {&below[domain], failing_malloc, failing_calloc, failing_realloc, real_free};
        PyMem_SetAllocator(domain, &above);
    }
}

/* From now on count this thread's allocations; those with the numbers from `from` to before `to` fail. */
void memory_arm(long from, long to)
{
    count = fired = depth = 0;
    first = from;
    last = to;
    armed = 1;
}

void memory_disarm(void) { armed = 0; }
long memory_count(void) { return count; }
int memory_fired(void) { return fired; }
int memory_in(const char *name) { return is_in(stack, depth, name); }
void memory_tell(int fd) { backtrace_symbols_fd(stack, depth, fd); }
