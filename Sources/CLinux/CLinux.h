// epoll, eventfd, signalfd, timerfd, accept4, prctl: the parts of Linux that Swift's Glibc module leaves out.
#ifndef GOPROXY_CLINUX_H
#define GOPROXY_CLINUX_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

// Declared only under _GNU_SOURCE, which would change structures that the Glibc module shows already.
extern int malloc_trim(size_t);
extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pthread_setname_np(pthread_t, const char *);
extern long syscall(long, ...);

#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef TCP_USER_TIMEOUT
#define TCP_USER_TIMEOUT 18
#endif

// Where the kernel has put the argument count of this program, and the arguments behind it (the ABI's initial process stack).
extern void *__libc_stack_end;
extern char *program_invocation_name;

// Nil if they are not there. The C library keeps the first one by its address: that it is the same says that these are they.
static inline char **goproxy_arguments(void) {
    long *count = (long *)__libc_stack_end;
    char **arguments = (char **)(count + 1);
    if (*count < 1 || arguments[0] != program_invocation_name || arguments[*count] != NULL) return NULL;
    return arguments;
}

// Macros with casts or arguments do not reach Swift.
static const uint32_t goproxy_EPOLLIN = EPOLLIN;
static const uint32_t goproxy_EPOLLPRI = EPOLLPRI;
static const uint32_t goproxy_EPOLLOUT = EPOLLOUT;
static const uint32_t goproxy_EPOLLERR = EPOLLERR;
static const uint32_t goproxy_EPOLLHUP = EPOLLHUP;
static const uint32_t goproxy_EPOLLRDHUP = EPOLLRDHUP;
static const uint32_t goproxy_EPOLLET = 1u << 31;

// prctl is variadic, and variadic C functions are not imported.
static inline int goproxy_set_dumpable(int on) { return prctl(PR_SET_DUMPABLE, (unsigned long)on, 0, 0, 0); }

// The call by its number: glibc hides fallocate behind _GNU_SOURCE. Blocks for bytes to come; the file's size stays. 0, or -1 and errno.
static inline int goproxy_reserve(int descriptor, long offset, long bytes) {
    return (int)syscall(SYS_fallocate, descriptor, FALLOC_FL_KEEP_SIZE, offset, bytes);
}

// ioctl is variadic too. Bytes, and an end, that the other end's system has not acknowledged (tcp(7), SIOCOUTQ).
static inline int goproxy_unacknowledged(int descriptor) {
    int bytes = 0;
    return ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

// statx(2) is hidden without _GNU_SOURCE, and syscall(2) is variadic. Device and number of what lies under a path, nothing more:
// whoever asks for the times too makes the next write stamp them anew, and a sync then writes the inode as well.
static inline int goproxy_file_identity(const char *path, uint64_t *device, uint64_t *number) {
    struct statx found;
    long result = syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO, &found);
    if (result != 0) return -1;
    *device = (uint64_t)found.stx_dev_major << 32 | found.stx_dev_minor;
    *number = found.stx_ino;
    return 0;
}

#endif
