// libmicrohttpd. The inline functions stand for variadic calls and for a structure that Glibc's module leaves out.
#ifndef GOPROXY_CMICROHTTPD_H
#define GOPROXY_CMICROHTTPD_H

#include <microhttpd.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Leaves escapes as they came: a segment may hold an escaped slash, so only the whole path may be split.
static inline size_t goproxy_MHD_keep_escapes(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

// A thread for each connection, on a listening socket of the caller's, which stays open after the daemon's end.
static inline struct MHD_Daemon *goproxy_MHD_start(int listener, unsigned int connections, unsigned int seconds,
                                                   MHD_AccessHandlerCallback handle,
                                                   MHD_RequestCompletedCallback completed,
                                                   MHD_NotifyConnectionCallback came_or_went, void *context) {
    return MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL,
        handle, context, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(32 * 1024),
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, goproxy_MHD_keep_escapes, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, completed, context, MHD_OPTION_NOTIFY_CONNECTION, came_or_went, context,
        MHD_OPTION_END);
}

// The descriptor of a connection; -1 if unknown.
static inline int goproxy_MHD_descriptor(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

struct goproxy_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

// Who stands at the other end of a Unix socket, as the kernel noted it at connect (unix(7), SO_PEERCRED). 0 if unknown.
static inline int goproxy_peer_of(int descriptor, struct goproxy_peer *peer) {
    socklen_t size = sizeof *peer;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, peer, &size) == 0 && size == sizeof *peer;
}

// A descriptor of that process: noted by the kernel at connect since Linux 6.5 (SO_PEERPIDFD), before that opened by its number.
// -1 if there is none.
static inline int goproxy_peer_process(int descriptor, int32_t pid) {
    int process = -1;
    socklen_t size = sizeof process;
    if (getsockopt(descriptor, SOL_SOCKET, 77, &process, &size) == 0) return process;
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

#endif
