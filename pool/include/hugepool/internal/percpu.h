// percpu.h: the few instructions by which a block is handed out and taken back without a lock, inlined into users.
//
// Shape      per CPU a region of magazines, one per slot tag (a size class + 1): a 16-byte header and room for 256 pointers.
//            Regions lie 1 MiB of address space apart, by CPU id, from -2 on: a thread that is not registered for
//            sequences has CPU -1 or -2. What no CPU was given yet reads as zeros, and a forked child finds zeros
//            everywhere: no objects, no room. Whoever finds neither takes the slow path.
// Units      counts are pointers; *_bytes are bytes
// Threads    any. A magazine belongs to its CPU: count and pointers change only inside a restartable sequence on it,
//            which ends with the one instruction that makes the change; the kernel restarts a sequence that was
//            preempted, migrated or interrupted by a signal. Capacity and window are written by the slow path from any
//            CPU. A drainer on another CPU takes room (a negative capacity) and objects (a negative count) away, with a
//            membarrier behind each, before it touches the pointers.
// Invariant  [0, count) of a magazine are distinct free objects of its class; count ≤ 256
// Cost       SlabCache: 11 instructions to allocate, 15 to free; Pool: 20 and 29, 38 with a size. On AArch64
//            16 and 20; 25 and 37, 42 with a size. No locked instruction, no call.
// Source     rseq(2); P. Turner and A. Hunter, restartable sequences
// ABI        everything here is compiled into users; a change of it is a new inline namespace, and a new number in the name
//            of the abort counter, so that users of another one do not link
// Unloading  the kernel keeps the address of a thread's last sequence: code into which these calls were inlined must
//            stay loaded (no dlclose; the CMake and pkg-config packages link users with -z nodelete)
#ifndef HUGEPOOL_INTERNAL_PERCPU_H_
#define HUGEPOOL_INTERNAL_PERCPU_H_

#include <cstddef>
#include <cstdint>

#include "hugepool/export.h"

// Where the sequences exist: on Linux with glibc 2.35 or newer, which registers every thread. ThreadSanitizer does not
// see through them: under it every call takes the slow path, whose locks it understands.
#if defined(__SANITIZE_THREAD__)
#define HUGEPOOL_PERCPU_INLINE 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HUGEPOOL_PERCPU_INLINE 0
#endif
#endif
#if !defined(HUGEPOOL_PERCPU_INLINE)
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__) && __has_include(<sys/rseq.h>)
#define HUGEPOOL_PERCPU_INLINE 1
#else
#define HUGEPOOL_PERCPU_INLINE 0
#endif
#endif

#if HUGEPOOL_PERCPU_INLINE
#include <sys/rseq.h>
#endif

namespace hugepool::internal {
inline namespace percpu_v1 {

inline constexpr size_t kMagazineMaxCount = 256;
// The largest size whose class is found in one table look-up, and that table's step.
inline constexpr size_t kMaxTableBytes = size_t{32} << 10;
inline constexpr size_t kTableStepBytes = 16;

struct MagazineHeader {
  int32_t count;            // negative: being drained
  int32_t capacity;         // 0 or negative: every push goes the slow way
  uint64_t window_address;  // pushes of addresses outside [this, this + window_bytes) go the slow way
};

struct Magazine {
  MagazineHeader header;
  void* objects[kMagazineMaxCount];
  // An odd number of cache lines, so that the headers of a region spread over the sets of a cache.
  char padding[48];
};
static_assert(sizeof(Magazine) == 33 * 64);

inline constexpr unsigned kRegionShift = 20;
static_assert(256 * sizeof(Magazine) <= size_t{1} << kRegionShift);

// Where the magazine of a tag lies behind that of tag 0, in units of 64 bytes.
inline constexpr uint32_t kMagazineLines = sizeof(Magazine) / 64;
inline Magazine* MagazineAt(Magazine* magazines, size_t bytes) {
  return reinterpret_cast<Magazine*>(reinterpret_cast<char*>(magazines) + bytes);
}

// What the fast path reads, constant while the pool lives.
struct PercpuView {
  int64_t rseq_offset = 0;                // glibc's __rseq_offset: of every thread's rseq area from its pointer
  Magazine* magazines = nullptr;          // of CPU 0, by slot tag
  uint64_t window_bytes = 0;              // of one node, or of all where a magazine takes any
  uint64_t pool_address = 0;              // of the first window
  uint64_t pool_bytes = 0;                // of all windows
  const uint8_t* slot_tags = nullptr;     // by 64 KiB of the windows
  const uint16_t* class_lines = nullptr;  // of the magazine, by (bytes + 15) / 16, to kMaxTableBytes
};

// The class that this thread freed last: a guess that lets the processor go on before it has read a slot's tag.
struct LastFreed {
  uint64_t tag;
  uint64_t magazine_bytes;  // from the magazine of tag 0 to its own
};
extern HUGEPOOL_EXPORT thread_local constinit LastFreed last_freed __attribute__((tls_model("initial-exec")));

// Sequences of this process that the kernel aborted; counted where they land.
extern HUGEPOOL_EXPORT uint64_t percpu_abort_count asm("hugepool_percpu_v1_abort_count");

#if HUGEPOOL_PERCPU_INLINE

// A sequence: its descriptor, where the kernel reads which instructions restart and where to; and the landing place of
// the aborted, behind the signature that the kernel wants there: one is counted, and goes on at a C++ label. Labels:
// 1 start, 2 end, 3 descriptor, 4 landing, 9 a loop in it. a, b, c: names of output registers, free there.
#define HUGEPOOL_RSEQ_DESCRIPTOR      \
  ".pushsection __rseq_cs, \"aw?\"\n" \
  ".balign 32\n"                      \
  "3: .long 0, 0\n"                   \
  ".quad 1f, 2f - 1f, 4f\n"           \
  ".popsection\n"
#if defined(__x86_64__)
#define HUGEPOOL_RSEQ_LANDING(label, a, b, c)                     \
  ".pushsection __rseq_abort, \"ax?\"\n"                          \
  ".byte 0x0f, 0xb9, 0x3d\n"                                      \
  ".long 0x53053053\n"                                            \
  "4: movq hugepool_percpu_v1_abort_count@GOTPCREL(%%rip), %[" #a \
  "]\n"                                                           \
  "lock incq (%[" #a                                              \
  "])\n"                                                          \
  "jmp %l[" #label                                                \
  "]\n"                                                           \
  ".popsection\n"
#else
#define HUGEPOOL_RSEQ_LANDING(label, a, b, c)      \
  ".pushsection __rseq_abort, \"ax?\"\n"           \
  ".inst 0xd428bc00\n"                             \
  "4: adrp %[" #a                                  \
  "], :got:hugepool_percpu_v1_abort_count\n"       \
  "ldr %[" #a "], [%[" #a                          \
  "], :got_lo12:hugepool_percpu_v1_abort_count]\n" \
  "9: ldxr %[" #b "], [%[" #a                      \
  "]]\n"                                           \
  "add %[" #b "], %[" #b                           \
  "], #1\n"                                        \
  "stxr %w[" #c "], %[" #b "], [%[" #a             \
  "]]\n"                                           \
  "cbnz %w[" #c                                    \
  "], 9b\n"                                        \
  "b %l[" #label                                   \
  "]\n"                                            \
  ".popsection\n"
#endif

// Where an operand stands already: in memory, or, of a handle that is local to a function, in a register. clang would
// load it into a register each time.
#if defined(__clang__)
#define HUGEPOOL_IN_PLACE "m"
#else
#define HUGEPOOL_IN_PLACE "rm"
#endif

// The newest object of this CPU's magazine, named by that of CPU 0; nullptr: there is none at hand, or the kernel
// aborted the sequence. in_memory: the name is read from where it stands, which spares a register.
template <bool in_memory>
__attribute__((always_inline)) inline void* PercpuPop(Magazine* const& magazine_of_cpu_0,
                                                      int64_t rseq_offset) noexcept {
  void* object;
  uint64_t magazine, index;
#if defined(__x86_64__)
#define HUGEPOOL_POP(constraint)                                                               \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                   \
                    "leaq 3b(%%rip), %[index]\n"                                               \
                    "movq %[index], %%fs:8(%[rseq])\n"                                         \
                    "1:\n"                                                                     \
                    "movslq %%fs:4(%[rseq]), %[magazine]\n"                                    \
                    "shlq $20, %[magazine]\n"                                                  \
                    "addq %[first], %[magazine]\n"                                             \
                    "movl (%[magazine]), %k[index]\n"                                          \
                    "subl $1, %k[index]\n"                                                     \
                    "js %l[none]\n"                                                            \
                    "movq 16(%[magazine], %[index], 8), %[object]\n"                           \
                    "movl %k[index], (%[magazine])\n"                                          \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(none, magazine, index, object)                \
                    : [object] "=&r"(object), [magazine] "=&r"(magazine), [index] "=&r"(index) \
                    : [rseq] "r"(rseq_offset), [first] constraint(magazine_of_cpu_0)           \
                    : "memory", "cc"                                                           \
                    : none)
#else
#define HUGEPOOL_POP(constraint)                                                               \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                   \
                    "mrs %[object], tpidr_el0\n"                                               \
                    "add %[object], %[object], %[rseq]\n"                                      \
                    "adrp %[index], 3b\n"                                                      \
                    "add %[index], %[index], :lo12:3b\n"                                       \
                    "str %[index], [%[object], #8]\n"                                          \
                    "1:\n"                                                                     \
                    "ldrsw %[magazine], [%[object], #4]\n"                                     \
                    "add %[magazine], %[first], %[magazine], lsl #20\n"                        \
                    "ldr %w[index], [%[magazine]]\n"                                           \
                    "subs %w[index], %w[index], #1\n"                                          \
                    "b.lt %l[none]\n"                                                          \
                    "add %[object], %[magazine], #16\n"                                        \
                    "ldr %[object], [%[object], %[index], lsl #3]\n"                           \
                    "str %w[index], [%[magazine]]\n"                                           \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(none, magazine, index, object)                \
                    : [object] "=&r"(object), [magazine] "=&r"(magazine), [index] "=&r"(index) \
                    : [rseq] "r"(rseq_offset), [first] "r"(magazine_of_cpu_0)                  \
                    : "memory", "cc"                                                           \
                    : none)
#endif
  if constexpr (in_memory) {
    HUGEPOOL_POP(HUGEPOOL_IN_PLACE);
  } else {
    HUGEPOOL_POP("r");
  }
#undef HUGEPOOL_POP
  // The empty statements on both ways on keep g++ before 12.4 from putting the copy of an asm goto's output behind a
  // use of it (GCC bug 113921). They emit nothing.
  asm volatile("");
  if (object == nullptr) __builtin_unreachable();
  return object;
none:
  asm volatile("");
  return nullptr;
}

// The object becomes the newest of that magazine. False: it is full, or the object's window is not the magazine's, or
// the kernel aborted the sequence.
template <bool in_memory>
__attribute__((always_inline)) inline bool PercpuPush(Magazine* const& magazine_of_cpu_0, const uint64_t& window_bytes,
                                                      int64_t rseq_offset, void* object) noexcept {
  uint64_t magazine, count, distance;
#if defined(__x86_64__)
#define HUGEPOOL_PUSH(constraint)                                                                  \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                       \
                    "leaq 3b(%%rip), %[count]\n"                                                   \
                    "movq %[count], %%fs:8(%[rseq])\n"                                             \
                    "1:\n"                                                                         \
                    "movslq %%fs:4(%[rseq]), %[magazine]\n"                                        \
                    "shlq $20, %[magazine]\n"                                                      \
                    "addq %[first], %[magazine]\n"                                                 \
                    "movl (%[magazine]), %k[count]\n"                                              \
                    "cmpl 4(%[magazine]), %k[count]\n"                                             \
                    "jge %l[refused]\n"                                                            \
                    "movq %[object], %[distance]\n"                                                \
                    "subq 8(%[magazine]), %[distance]\n"                                           \
                    "cmpq %[window_bytes], %[distance]\n"                                          \
                    "jae %l[refused]\n"                                                            \
                    "movq %[object], 16(%[magazine], %[count], 8)\n"                               \
                    "incl (%[magazine])\n"                                                         \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(refused, magazine, count, distance)               \
                    : [magazine] "=&r"(magazine), [count] "=&r"(count), [distance] "=&r"(distance) \
                    : [rseq] "r"(rseq_offset), [first] constraint(magazine_of_cpu_0),              \
                      [window_bytes] HUGEPOOL_IN_PLACE(window_bytes), [object] "r"(object)         \
                    : "memory", "cc"                                                               \
                    : refused)
#else
#define HUGEPOOL_PUSH(constraint)                                                                                \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                                     \
                    "mrs %[distance], tpidr_el0\n"                                                               \
                    "add %[distance], %[distance], %[rseq]\n"                                                    \
                    "adrp %[count], 3b\n"                                                                        \
                    "add %[count], %[count], :lo12:3b\n"                                                         \
                    "str %[count], [%[distance], #8]\n"                                                          \
                    "1:\n"                                                                                       \
                    "ldrsw %[magazine], [%[distance], #4]\n"                                                     \
                    "add %[magazine], %[first], %[magazine], lsl #20\n"                                          \
                    "ldp %w[count], %w[distance], [%[magazine]]\n"                                               \
                    "cmp %w[count], %w[distance]\n"                                                              \
                    "b.ge %l[refused]\n"                                                                         \
                    "ldr %[distance], [%[magazine], #8]\n"                                                       \
                    "sub %[distance], %[object], %[distance]\n"                                                  \
                    "cmp %[distance], %[window_bytes]\n"                                                         \
                    "b.hs %l[refused]\n"                                                                         \
                    "add %[distance], %[magazine], #16\n"                                                        \
                    "str %[object], [%[distance], %[count], lsl #3]\n"                                           \
                    "add %w[count], %w[count], #1\n"                                                             \
                    "str %w[count], [%[magazine]]\n"                                                             \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(refused, magazine, count, distance)                             \
                    : [magazine] "=&r"(magazine), [count] "=&r"(count), [distance] "=&r"(distance)               \
                    : [rseq] "r"(rseq_offset), [first] "r"(magazine_of_cpu_0), [window_bytes] "r"(window_bytes), \
                      [object] "r"(object)                                                                       \
                    : "memory", "cc"                                                                             \
                    : refused)
#endif
  if constexpr (in_memory) {
    HUGEPOOL_PUSH(HUGEPOOL_IN_PLACE);
  } else {
    HUGEPOOL_PUSH("r");
  }
#undef HUGEPOOL_PUSH
  return true;
refused:
  return false;
}

#else

template <bool in_memory>
inline void* PercpuPop(Magazine* const&, int64_t) noexcept {
  return nullptr;
}
template <bool in_memory>
inline bool PercpuPush(Magazine* const&, const uint64_t&, int64_t, void*) noexcept {
  return false;
}

#endif

}  // namespace percpu_v1
}  // namespace hugepool::internal

#endif  // HUGEPOOL_INTERNAL_PERCPU_H_
