// Loaded first, its functions stand before those of the C library and of the Swift runtime. What the standard library's own
// compiled code retains is not seen: it does not look its functions up. (The runtime's hooks for instruments would show it too, but
// mask what they are called with, and short strings then look like objects: swift 6.3.)
#define _GNU_SOURCE
#include "Counting.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Where counts go until there is a file, and without one.
static struct counting_file nowhere;
static struct counting_file *counts = &nowhere;
static atomic_int linesUsed;
// Set apart at load: a first use that allocated would come back here.
static __thread struct counting_line *line __attribute__((tls_model("initial-exec")));

static struct counting_line *mine(void) {
    if (line) return line;
    int place = atomic_fetch_add(&linesUsed, 1);
    line = &counts->lines[place < COUNTING_LINES ? place : COUNTING_LINES - 1];
    line->thread = (uint64_t)gettid();
    return line;
}

static void add(uint64_t *count, uint64_t amount) {
    // Threads beyond the last line share one.
    __atomic_fetch_add(count, amount, __ATOMIC_RELAXED);
}

// MARK: Memory

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

// Of the libraries whose allocations are counted apart: what they do for each record or row is theirs.
static struct { uintptr_t start, end; } libraries[4];
static int librariesFound;

static int noteLibrary(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    const char *names[] = {"/libcrypto.", "/libssl.", "/libsqlite3.", "/libcurl."};
    for (int name = 0; name < 4; name++) {
        if (!strstr(info->dlpi_name, names[name])) continue;
        for (int place = 0; place < info->dlpi_phnum; place++) {
            const ElfW(Phdr) *part = &info->dlpi_phdr[place];
            if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || librariesFound == 4) continue;
            uintptr_t start = info->dlpi_addr + part->p_vaddr;
            libraries[librariesFound].start = start;
            libraries[librariesFound++].end = start + part->p_memsz;
        }
    }
    return 0;
}

static void *allocated(void *memory, size_t size, uintptr_t caller) {
    struct counting_line *own = mine();
    uint64_t *count = &own->allocations;
    for (int place = 0; place < librariesFound; place++)
        if (caller - libraries[place].start < libraries[place].end - libraries[place].start)
            count = &own->librariesAllocations;
    add(count, 1);
    add(&own->bytes, size);
    return memory;
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

void *malloc(size_t size) { return allocated(__libc_malloc(size), size, CALLER); }
void *calloc(size_t count, size_t size) { return allocated(__libc_calloc(count, size), count * size, CALLER); }
void *memalign(size_t alignment, size_t size) { return allocated(__libc_memalign(alignment, size), size, CALLER); }
void *aligned_alloc(size_t alignment, size_t size) { return allocated(__libc_memalign(alignment, size), size, CALLER); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) || !alignment || alignment & (alignment - 1)) return EINVAL;
    void *found = allocated(__libc_memalign(alignment, size), size, CALLER);
    if (!found) return ENOMEM;
    *memory = found;
    return 0;
}

void *realloc(void *memory, size_t size) {
    void *found = __libc_realloc(memory, size);
    // Grown where it stands: nothing was asked of anybody.
    return found == memory ? found : allocated(found, size, CALLER);
}

void free(void *memory) {
    if (!memory) return;
    add(&mine()->frees, 1);
    __libc_free(memory);
}

// MARK: References

// The compiler expects these to keep nearly all registers on some processors (Swift's runtime/Config.h).
#if defined(__aarch64__)
#define REFERENCES __attribute__((preserve_most))
#else
#define REFERENCES
#endif

typedef void *REFERENCES taker(void *);
typedef void *REFERENCES takerOfMany(void *, uint32_t);
typedef void REFERENCES leaver(void *);
typedef void REFERENCES leaverOfMany(void *, uint32_t);

static taker *retain, *retainBridged;
static takerOfMany *retainMany, *retainBridgedMany;
static leaver *release, *releaseBridged;
static leaverOfMany *releaseMany, *releaseBridgedMany;
static void *(*strongOfUnowned)(void *), *(*strongOfWeak)(void *);

// The first of these may be called while libraries are still set up, before `begin`.
static void find(void *pointer, const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &found, sizeof found);
}

static int findReferences(void) {
    if (strongOfWeak) return 1;
    find(&retain, "swift_retain");
    find(&retainMany, "swift_retain_n");
    find(&retainBridged, "swift_bridgeObjectRetain");
    find(&retainBridgedMany, "swift_bridgeObjectRetain_n");
    find(&release, "swift_release");
    find(&releaseMany, "swift_release_n");
    find(&releaseBridged, "swift_bridgeObjectRelease");
    find(&releaseBridgedMany, "swift_bridgeObjectRelease_n");
    find(&strongOfUnowned, "swift_unownedRetainStrong");
    find(&strongOfWeak, "swift_weakLoadStrong");
    return strongOfWeak != NULL;
}

// Out of the way of the registers: these keep only what C's functions keep.
static __attribute__((noinline)) void took(uint32_t count) {
    findReferences();
    add(&mine()->retains, count);
}

static __attribute__((noinline)) void left(uint32_t count) {
    findReferences();
    add(&mine()->releases, count);
}

// Null, and small values in a reference's place such as short strings, have no count.
static int isCounted(void *object) { return (intptr_t)object > 0; }

#define TAKE(name, original) \
    REFERENCES void *name(void *object) { \
        if (!isCounted(object)) return object; \
        took(1); \
        return original(object); \
    }
#define TAKE_MANY(name, original) \
    REFERENCES void *name(void *object, uint32_t count) { \
        if (!isCounted(object)) return object; \
        took(count); \
        return original(object, count); \
    }
#define LEAVE(name, original) \
    REFERENCES void name(void *object) { \
        if (!isCounted(object)) return; \
        left(1); \
        original(object); \
    }
#define LEAVE_MANY(name, original) \
    REFERENCES void name(void *object, uint32_t count) { \
        if (!isCounted(object)) return; \
        left(count); \
        original(object, count); \
    }

TAKE(swift_retain, retain)
TAKE(swift_bridgeObjectRetain, retainBridged)
TAKE_MANY(swift_retain_n, retainMany)
TAKE_MANY(swift_bridgeObjectRetain_n, retainBridgedMany)
LEAVE(swift_release, release)
LEAVE(swift_bridgeObjectRelease, releaseBridged)
LEAVE_MANY(swift_release_n, releaseMany)
LEAVE_MANY(swift_bridgeObjectRelease_n, releaseBridgedMany)

void *swift_unownedRetainStrong(void *object) {
    took(1);
    return strongOfUnowned(object);
}

void *swift_weakLoadStrong(void *reference) {
    took(1);
    return strongOfWeak(reference);
}

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("GOPROXY_COUNTS");
    // Not an error: a program that was started by one that is counted.
    if (!directory) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", directory, getpid());
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct counting_file)) != 0) return perror(path);
    void *mapped = mmap(NULL, sizeof(struct counting_file), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) return perror(path);
    dl_iterate_phdr(noteLibrary, NULL);
    counts = mapped;
    line = NULL;
    linesUsed = 0;
    counts->countsRetains = (uint64_t)findReferences();
    counts->isCounting = 1;
}
