/* Preloaded into a process: records what it writes, cuts and syncs below $RECORD_BELOW into $RECORD_TO, in order.
 *
 * A record: one letter (w write, t truncate, s sync, d delete), the path's length and the path, offset, length, the bytes. The
 * process may add marks of its own, with the letter m. For power cuts in tests: see durability.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int to = -1;

static void record_path(char kind, const char *path, ssize_t size, const void *bytes, uint64_t length, uint64_t offset)
{
    const char *below = getenv("RECORD_BELOW");
    if (!below || size < 0 || strncmp(path, below, strlen(below)))
        return;
    if (to < 0)
        to = open(getenv("RECORD_TO"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    uint64_t head[3] = {(uint64_t)size, offset, length};
    struct iovec parts[] = {{&kind, 1}, {head, sizeof head}, {(void *)path, (size_t)size}, {(void *)bytes, bytes ? length : 0}};
    if (writev(to, parts, 4) < 0)
        abort();
}

static void record(char kind, int descriptor, const void *bytes, uint64_t length, uint64_t offset)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    record_path(kind, path, readlink(link, path, sizeof path - 1), bytes, length, offset);
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

#define PWRITE(name)                                                                                     \
    ssize_t name(int descriptor, const void *bytes, size_t length, off_t offset)                         \
    {                                                                                                    \
        ssize_t written = REAL(#name, ssize_t(*)(int, const void *, size_t, off_t))(descriptor, bytes, length, offset); \
        if (written > 0)                                                                                 \
            record('w', descriptor, bytes, (uint64_t)written, (uint64_t)offset);                         \
        return written;                                                                                  \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                          \
    int name(int descriptor, off_t length)                                      \
    {                                                                           \
        int failed = REAL(#name, int (*)(int, off_t))(descriptor, length);      \
        if (!failed)                                                            \
            record('t', descriptor, NULL, 0, (uint64_t)length);                 \
        return failed;                                                          \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                               \
    int name(int descriptor)                                     \
    {                                                            \
        int failed = REAL(#name, int (*)(int))(descriptor);      \
        if (!failed)                                             \
            record('s', descriptor, NULL, 0, 0);                 \
        return failed;                                           \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path)
{
    int failed = REAL("unlink", int (*)(const char *))(path);
    if (!failed)
        record_path('d', path, (ssize_t)strlen(path), NULL, 0, 0);
    return failed;
}
