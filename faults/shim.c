/* Stands between the process and libc (LD_PRELOAD), so that the release binary itself meets failures of the kernel.
 *
 * Loaded by shim.py, told by it through the exported faults_* functions. It does three things while it is on:
 *
 *  1. Counts each system call by kind, and makes the n-th of a kind fail once with a given errno. Some failures come after
 *     the call was carried out, as the kernel has them: close(2) frees the number even where it fails, and a connect(2) that
 *     was interrupted goes on. SHORT is no failure: one byte is read or written where more were asked for.
 *  2. Keeps a closed number from being given out again: /dev/null is put in its place (atomically, by dup3), for the next
 *     BURIED closes. Whoever uses a number after its end, or closes it a second time, is caught in the act instead of only where
 *     chance gave the number to another connection.
 *  3. Notes each such use: the kind, the number and the stack.
 *  4. Does the same to what is asked of the kernel without a call: an entry of an io_uring's submission queue. The n-th becomes a
 *     NOP that completes with the given errno (IORING_NOP_INJECT_RESULT, Linux 6.11), so the kernel itself makes the completion.
 *
 * What CPython and the Rust code call are libc's symbols, the raw syscall(2) of epoll_pwait2, io_uring and pidfd_open included.
 * A forked child is left alone: with vfork it shares this memory, so each hook asks for the process first.
 *
 * Rejected: seccomp notification (a second process in every call, and it cannot see what a number was before); hooks compiled
 * into the driver (CPython's own socket calls would not meet them, and it would not be the binary that is shipped).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KINDS(X)                                                                                                       \
    X(socket) X(socketpair) X(accept) X(connect) X(bind) X(listen) X(shutdown) X(setsockopt) X(getsockopt)             \
    X(getsockname) X(getpeername) X(recv) X(send) X(recvfrom) X(sendto) X(sendmsg) X(recvmsg) X(sendfile) X(read)      \
    X(write) X(pread) X(pwrite) X(open) X(close) X(pipe) X(fcntl) X(ioctl) X(fstat) X(lseek) X(eventfd)                \
    X(epoll_create) X(epoll_add) X(epoll_mod) X(epoll_del) X(epoll_wait) X(io_uring_setup) X(io_uring_enter)           \
    X(io_uring_register) X(io_uring_file) X(io_uring_send) X(io_uring_close) X(mmap) X(pidfd_open) X(fork)

enum kind {
#define X(name) K_##name,
    KINDS(X)
#undef X
        KIND_COUNT
};
static const char *const names[] = {
#define X(name) #name,
    KINDS(X)
#undef X
};

enum { SHORT = -1, NUMBERS = 1 << 16, BURIED = 64, NOTES = 32, DEPTH = 24 };

static atomic_int on;
static atomic_long counts[KIND_COUNT];
static atomic_int armed_kind = -1, armed_errno, fired;
static atomic_long armed_index;
static pid_t self;
static int null_fd = -1;
static atomic_uchar dead[NUMBERS], wakes[NUMBERS];
static int graves[BURIED];
static int digger;
static pthread_mutex_t graveyard = PTHREAD_MUTEX_INITIALIZER;
struct note {
    int kind, fd, depth;
    void *stack[DEPTH];
};
static struct note notes[NOTES];
static atomic_int note_count;

#define REAL(name, result, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int foreign(void) { return (pid_t)syscall(SYS_getpid) != self; }

static void note(int kind, int fd)
{
    int index = atomic_fetch_add(&note_count, 1);
    if (getenv("FAULTS_ABORT")) abort();
    if (index >= NOTES) return;
    notes[index].kind = kind;
    notes[index].fd = fd;
    notes[index].depth = backtrace(notes[index].stack, DEPTH);
}

/* 0: carry the call out. Otherwise the errno (or SHORT) that it is to end with. */
static int strike(int kind)
{
    if (!on || foreign()) return 0;
    long index = atomic_fetch_add(&counts[kind], 1);
    if (armed_kind != kind || armed_index != index) return 0;
    fired = 1;
    return armed_errno;
}

/* Whether `fd` was closed before: the call then fails with EBADF, as it would without the grave. */
static int stale(int kind, int fd)
{
    if (!on || fd < 0 || fd >= NUMBERS || !dead[fd] || foreign()) return 0;
    note(kind, fd);
    errno = EBADF;
    return 1;
}

static void exhume(int fd)
{
    dead[fd] = 0;
    syscall(SYS_close, fd);
}

static int fail(int number)
{
    errno = number;
    return -1;
}

/* A hook that only fails: kind, name, result, parameters, arguments, and the descriptor it uses (-1: none). */
#define HOOK(kind, name, result, fd, parameters, ...)                                                                  \
    result name parameters                                                                                             \
    {                                                                                                                  \
        static result(*real) parameters;                                                                               \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                               \
        if (stale(K_##kind, fd)) return -1;                                                                            \
        int hit = strike(K_##kind);                                                                                    \
        return hit ? fail(hit) : real(__VA_ARGS__);                                                                    \
    }

/* Whether `fd` takes and gives messages, which are never cut. */
static int whole(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    return syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type != SOCK_STREAM;
}

/* The same for calls that move `size` bytes: SHORT makes it one byte. */
#define MOVE(kind, name, fd, size, parameters, ...)                                                                    \
    ssize_t name parameters                                                                                            \
    {                                                                                                                  \
        static ssize_t(*real) parameters;                                                                              \
        if (!real) real = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name);                                              \
        if (stale(K_##kind, fd)) return -1;                                                                            \
        int hit = strike(K_##kind);                                                                                    \
        if (hit > 0) return fail(hit);                                                                                 \
        if (hit == SHORT && size > 1 && !whole(fd)) size = 1;                                                          \
        return real(__VA_ARGS__);                                                                                      \
    }

typedef struct sockaddr *addr;
typedef const struct sockaddr *caddr;

HOOK(socket, socket, int, -1, (int domain, int type, int protocol), domain, type, protocol)
HOOK(socketpair, socketpair, int, -1, (int domain, int type, int protocol, int pair[2]), domain, type, protocol, pair)
HOOK(accept, accept, int, fd, (int fd, addr a, socklen_t *n), fd, a, n)
HOOK(accept, accept4, int, fd, (int fd, addr a, socklen_t *n, int flags), fd, a, n, flags)
HOOK(bind, bind, int, fd, (int fd, caddr a, socklen_t n), fd, a, n)
HOOK(listen, listen, int, fd, (int fd, int backlog), fd, backlog)
HOOK(shutdown, shutdown, int, fd, (int fd, int how), fd, how)
HOOK(setsockopt, setsockopt, int, fd, (int fd, int l, int o, const void *v, socklen_t n), fd, l, o, v, n)
HOOK(getsockopt, getsockopt, int, fd, (int fd, int l, int o, void *v, socklen_t *n), fd, l, o, v, n)
HOOK(getsockname, getsockname, int, fd, (int fd, addr a, socklen_t *n), fd, a, n)
HOOK(getpeername, getpeername, int, fd, (int fd, addr a, socklen_t *n), fd, a, n)
HOOK(epoll_create, epoll_create1, int, -1, (int flags), flags)
HOOK(epoll_wait, epoll_wait, int, fd, (int fd, struct epoll_event *e, int n, int t), fd, e, n, t)
HOOK(pipe, pipe2, int, -1, (int pair[2], int flags), pair, flags)
HOOK(pipe, pipe, int, -1, (int pair[2]), pair)
HOOK(fork, fork, pid_t, -1, (void))
HOOK(lseek, lseek64, off64_t, fd, (int fd, off64_t offset, int whence), fd, offset, whence)
HOOK(fstat, fstat64, int, fd, (int fd, struct stat64 *status), fd, status)
MOVE(recv, recv, fd, n, (int fd, void *b, size_t n, int flags), fd, b, n, flags)
MOVE(send, send, fd, n, (int fd, const void *b, size_t n, int flags), fd, b, n, flags)
MOVE(read, read, fd, n, (int fd, void *b, size_t n), fd, b, n)
MOVE(pread, pread64, fd, n, (int fd, void *b, size_t n, off64_t at), fd, b, n, at)
MOVE(pwrite, pwrite64, fd, n, (int fd, const void *b, size_t n, off64_t at), fd, b, n, at)
MOVE(sendfile, sendfile64, out, n, (int out, int in, off64_t *at, size_t n), out, in, at, n)
MOVE(sendfile, sendfile, out, n, (int out, int in, off_t *at, size_t n), out, in, at, n)
HOOK(recvfrom, recvfrom, ssize_t, fd, (int fd, void *b, size_t n, int f, addr a, socklen_t *l), fd, b, n, f, a, l)
HOOK(sendto, sendto, ssize_t, fd, (int fd, const void *b, size_t n, int f, caddr a, socklen_t l), fd, b, n, f, a, l)
HOOK(recvmsg, recvmsg, ssize_t, fd, (int fd, struct msghdr *m, int flags), fd, m, flags)

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg, ssize_t, int, const struct msghdr *, int);
    if (stale(K_sendmsg, fd)) return -1;
    int hit = strike(K_sendmsg);
    if (hit > 0) return fail(hit);
    if (hit != SHORT || !message->msg_iovlen || message->msg_iov[0].iov_len < 2) return real(fd, message, flags);
    struct iovec first = {message->msg_iov[0].iov_base, 1};
    struct msghdr less = *message;
    less.msg_iov = &first;
    less.msg_iovlen = 1;
    return real(fd, &less, flags);
}

int eventfd(unsigned start, int flags)
{
    REAL(eventfd, int, unsigned, int);
    int hit = strike(K_eventfd);
    if (hit) return fail(hit);
    int made = real(start, flags);
    if (made >= 0 && made < NUMBERS) wakes[made] = 1;
    return made;
}

/* A wake, 8 bytes into a non-blocking eventfd, has no failure but a full counter: it is left alone. */
ssize_t write(int fd, const void *bytes, size_t size)
{
    REAL(write, ssize_t, int, const void *, size_t);
    if (stale(K_write, fd)) return -1;
    if (fd >= 0 && fd < NUMBERS && wakes[fd]) return real(fd, bytes, size);
    int hit = strike(K_write);
    if (hit > 0) return fail(hit);
    return real(fd, bytes, hit == SHORT && size > 1 ? 1 : size);
}

/* An interrupted connect goes on: the failure comes after it began. */
int connect(int fd, caddr address, socklen_t length)
{
    REAL(connect, int, int, caddr, socklen_t);
    if (stale(K_connect, fd)) return -1;
    int hit = strike(K_connect);
    if (hit && hit != EINTR) return fail(hit);
    int done = real(fd, address, length);
    return hit ? fail(hit) : done;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl, int, int, int, int, struct epoll_event *);
    int kind = operation == EPOLL_CTL_ADD ? K_epoll_add : operation == EPOLL_CTL_MOD ? K_epoll_mod : K_epoll_del;
    /* To take out what is not in does nothing, whosever the number is: not a use. */
    if ((kind != K_epoll_del && stale(kind, fd)) || stale(kind, epoll)) return -1;
    int hit = strike(kind);
    return hit ? fail(hit) : real(epoll, operation, fd, event);
}

int close(int fd)
{
    if (!on || fd < 0 || fd >= NUMBERS || fd == null_fd || foreign()) return (int)syscall(SYS_close, fd);
    if (stale(K_close, fd)) return -1;
    int hit = strike(K_close);
    pthread_mutex_lock(&graveyard);
    if (syscall(SYS_fcntl, fd, F_GETFD) < 0) {
        pthread_mutex_unlock(&graveyard);
        note(K_close, fd);
        return fail(EBADF);
    }
    if (syscall(SYS_dup3, null_fd, fd, O_CLOEXEC) == fd) {
        dead[fd] = 1;
        wakes[fd] = 0;
        int oldest = graves[digger];
        graves[digger] = fd;
        digger = (digger + 1) % BURIED;
        if (oldest >= 0 && dead[oldest]) exhume(oldest);
    }
    pthread_mutex_unlock(&graveyard);
    return hit ? fail(hit) : 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        REAL(name, int, const char *, int, ...);                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        unsigned mode = va_arg(rest, unsigned);                                                                        \
        va_end(rest);                                                                                                  \
        int hit = strike(K_open);                                                                                      \
        return hit ? fail(hit) : real(path, flags, mode);                                                              \
    }
OPEN(open)
OPEN(open64)

int fcntl64(int fd, int command, ...)
{
    REAL(fcntl64, int, int, int, ...);
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (stale(K_fcntl, fd)) return -1;
    int hit = strike(K_fcntl);
    return hit ? fail(hit) : real(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    REAL(ioctl, int, int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (stale(K_ioctl, fd)) return -1;
    int hit = strike(K_ioctl);
    return hit ? fail(hit) : real(fd, request, argument);
}

/* The rings that were made, by descriptor. */
enum { RINGS = 1024, NO_SQARRAY = 1 << 16, INJECT = 1 };
static struct ring {
    struct io_uring_params params;
    char *queue;
    struct io_uring_sqe *entries;
} rings[RINGS];

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *made = (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (made != MAP_FAILED && fd >= 0 && fd < RINGS && rings[fd].params.sq_entries) {
        if (offset == IORING_OFF_SQ_RING) rings[fd].queue = made;
        if (offset == IORING_OFF_SQES) rings[fd].entries = made;
    }
    return made;
}

/* Makes the entry fail, or move one byte where it would move more. */
static void spoil(struct io_uring_sqe *entry, int hit)
{
    __u64 who = entry->user_data;
    if (hit == SHORT) {
        int moves = entry->opcode == IORING_OP_READ || entry->opcode == IORING_OP_WRITE || entry->opcode == IORING_OP_SEND;
        if (moves && entry->len > 1) entry->len = 1;
        return;
    }
    if (entry->opcode == IORING_OP_CLOSE) syscall(SYS_close, entry->fd); /* The number is free even where close fails. */
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_NOP;
    entry->rw_flags = INJECT;
    entry->len = (__u32)-hit;
    entry->user_data = who;
}

/* Whether this kernel completes a NOP with what it is told; an older one is not asked to. */
static int injects(void)
{
    static int answer = -1;
    struct utsname name;
    int major = 0, minor = 0;
    if (answer < 0 && uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2)
        answer = major > 6 || (major == 6 && minor >= 11);
    return answer > 0;
}

static void look_at_entries(int fd, unsigned count)
{
    if (!on || !injects() || fd < 0 || fd >= RINGS || !rings[fd].queue || !rings[fd].entries) return;
    struct io_sqring_offsets *at = &rings[fd].params.sq_off;
    char *queue = rings[fd].queue;
    unsigned head = *(unsigned *)(queue + at->head), tail = *(unsigned *)(queue + at->tail);
    unsigned mask = *(unsigned *)(queue + at->ring_mask);
    for (; count && head != tail; count--, head++) {
        unsigned place = head & mask;
        if (!(rings[fd].params.flags & NO_SQARRAY)) place = ((unsigned *)(queue + at->array))[place];
        int asked = rings[fd].entries[place].opcode;
        int hit = strike(asked == IORING_OP_SEND ? K_io_uring_send : asked == IORING_OP_CLOSE ? K_io_uring_close : K_io_uring_file);
        if (hit) spoil(&rings[fd].entries[place], hit);
    }
}

long syscall(long number, ...)
{
    REAL(syscall, long, long, ...);
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    int kind = number == SYS_epoll_pwait2         ? K_epoll_wait
               : number == SYS_io_uring_setup    ? K_io_uring_setup
               : number == SYS_io_uring_enter    ? K_io_uring_enter
               : number == SYS_io_uring_register ? K_io_uring_register
               : number == SYS_pidfd_open        ? K_pidfd_open
                                                 : -1;
    if (kind >= 0) {
        if (kind != K_io_uring_setup && kind != K_pidfd_open && stale(kind, (int)a[0])) return -1;
        int hit = strike(kind);
        if (hit) return fail(hit);
        if (kind == K_io_uring_enter) look_at_entries((int)a[0], (unsigned)a[1]);
    }
    long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (kind == K_io_uring_setup && result >= 0 && result < RINGS) {
        memset(&rings[result], 0, sizeof rings[result]);
        rings[result].params = *(struct io_uring_params *)a[1];
    }
    return result;
}

/* What shim.py calls. */

int faults_kinds(void) { return KIND_COUNT; }
const char *faults_name(int kind) { return names[kind]; }
long faults_count(int kind) { return counts[kind]; }
int faults_fired(void) { return fired; }
int faults_notes(void) { return note_count; }
int faults_note_kind(int index) { return notes[index].kind; }
int faults_note_fd(int index) { return notes[index].fd; }
char **faults_note_stack(int index, int *depth)
{
    *depth = notes[index].depth;
    return backtrace_symbols(notes[index].stack, notes[index].depth);
}
int faults_is_dead(int fd) { return fd >= 0 && fd < NUMBERS && dead[fd]; }

/* Begin to count; with kind >= 0, the index-th call of that kind ends with `number`. */
void faults_begin(int kind, long index, int number)
{
    if (null_fd < 0) {
        null_fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
        self = (pid_t)syscall(SYS_getpid);
        memset(graves, -1, sizeof graves);
    }
    memset((void *)counts, 0, sizeof counts);
    fired = 0;
    note_count = 0;
    armed_kind = kind;
    armed_index = index;
    armed_errno = number;
    on = 1;
}

/* No more failures; closed numbers are still watched. */
void faults_disarm(void) { armed_kind = -1; }

/* Off; the buried numbers are free again. */
void faults_end(void)
{
    on = 0;
    pthread_mutex_lock(&graveyard);
    for (int i = 0; i < BURIED; i++) {
        if (graves[i] >= 0 && dead[graves[i]]) exhume(graves[i]);
        graves[i] = -1;
    }
    pthread_mutex_unlock(&graveyard);
}

/* A program without Python asks by its environment: FAULTS="kind:index:errno". */
__attribute__((constructor)) static void from_environment(void)
{
    const char *wanted = getenv("FAULTS");
    char name[32];
    long index;
    int number;
    if (!wanted || sscanf(wanted, "%31[^:]:%ld:%d", name, &index, &number) != 3) return;
    for (int kind = 0; kind < KIND_COUNT; kind++)
        if (!strcmp(name, names[kind])) faults_begin(kind, index, number);
}
