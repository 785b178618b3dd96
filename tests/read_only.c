/* Preloaded into a process: while the file $READ_ONLY_WHILE exists, its writes fail as they do after the kernel has
 * remounted a failing card read-only (errors=remount-ro), which no test may do to the machine it runs on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_read_only(void)
{
    return !access(getenv("READ_ONLY_WHILE"), F_OK);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset)
{
    if (is_read_only()) {
        errno = EROFS;
        return -1;
    }
    return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(descriptor, bytes, length, offset);
}

int ftruncate64(int descriptor, off64_t length)
{
    if (is_read_only()) {
        errno = EROFS;
        return -1;
    }
    return ((int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64"))(descriptor, length);
}
