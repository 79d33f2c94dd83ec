// Counting: what a program allocates and retains, counted while it runs. For LD_PRELOAD, never linked.
//
// With GOPROXY_COUNTS=DIR in its environment a program keeps its counts in DIR/PID, a file that is mapped: whoever reads it sees
// them as they are, and the program is neither stopped nor asked.
#ifndef COUNTING_H
#define COUNTING_H

#include <stdint.h>

/// A line of the file for each thread, in the order in which they first counted; the last serves all that come later.
/// A thread that has ended leaves its line.
struct counting_line {
    /// Of the thread, as in /proc/PID/task; 0: no thread yet.
    uint64_t thread;
    /// malloc, calloc, memalign, and realloc that made or moved something.
    uint64_t allocations;
    /// Those that OpenSSL, SQLite and curl made; they are not among `allocations`.
    uint64_t librariesAllocations;
    uint64_t bytes;
    uint64_t frees;
    /// Strong references taken of Swift objects, but for the standard library's own; an unowned or weak one that is read takes one.
    uint64_t retains;
    uint64_t releases;
    uint64_t unused;
};

enum { COUNTING_LINES = 64 };

/// The file. `countsRetains` is 0 where the Swift runtime is linked into the program: it then calls its own.
struct counting_file {
    uint64_t isCounting;
    uint64_t countsRetains;
    uint64_t unused[6];
    struct counting_line lines[COUNTING_LINES];
};

#endif
