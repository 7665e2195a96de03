// percpu.h: the few instructions by which a block is handed out and taken back without a lock, inlined into users.
//
// Shape      per CPU a region of magazines, one per slot tag (a size class + 1): a 16-byte header and room for 256 pointers.
//            The calls name a magazine by its pointers, with the header before them: AArch64 adds no constant then.
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
// Cost       SlabCache: 11 instructions to allocate, 15 to free; Pool: 20 and 24, 29 with a size. On AArch64
//            14 and 17; 22 and 29, 30 with a size. No locked instruction, no call.
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
// Where a size stands in it: with all that round up to the same step.
constexpr size_t TableEntryOf(size_t bytes) { return (bytes + kTableStepBytes - 1) / kTableStepBytes; }
inline constexpr size_t kTableEntryCount = TableEntryOf(kMaxTableBytes) + 1;

struct MagazineHeader {
  int32_t count;        // negative: being drained
  int32_t capacity;     // 0 or negative: every push goes the slow way
  uint64_t window_end;  // pushes of addresses outside of the window that ends here go the slow way; 0: of any
};

struct Magazine {
  MagazineHeader header;
  void* objects[kMagazineMaxCount];
  // An odd number of cache lines, so that the headers of a region spread over the sets of a cache.
  char padding[48];
};
static_assert(sizeof(Magazine) == 33 * 64);
// The sequences find count, capacity and window at -16, -12 and -8 from the pointers.
static_assert(offsetof(Magazine, objects) == 16 && offsetof(MagazineHeader, capacity) == 4 &&
              offsetof(MagazineHeader, window_end) == 8);

inline constexpr unsigned kRegionShift = 20;
static_assert(256 * sizeof(Magazine) <= size_t{1} << kRegionShift);

// The pointers of the magazine of a tag, from those of tag 0. x86-64: one multiplication, where
// compilers would shift and add three times.
__attribute__((always_inline)) inline void** ObjectsOf(void** objects_of_tag_0, uint64_t tag) {
#if defined(__x86_64__)
  uint64_t bytes;
  asm("imulq %2, %1, %0" : "=r"(bytes) : "r"(tag), "i"(sizeof(Magazine)) : "cc");
  return reinterpret_cast<void**>(reinterpret_cast<char*>(objects_of_tag_0) + bytes);
#else
  return objects_of_tag_0 + tag * (sizeof(Magazine) / sizeof(void*));
#endif
}

// A relaxed load. By hand on AArch64, where compilers make three instructions of one.
__attribute__((always_inline)) inline uint64_t LoadTag(const uint8_t* tags, size_t index) {
#if defined(__aarch64__) && HUGEPOOL_PERCPU_INLINE
  uint64_t tag;
  asm volatile("ldrb %w0, [%1, %2]" : "=r"(tag) : "r"(tags), "r"(index) : "memory");
  return tag;
#else
  return __atomic_load_n(tags + index, __ATOMIC_RELAXED);
#endif
}

// Where a thread's rseq area lies, from its pointer: the field for the descriptor, and that for the CPU's id, 4 bytes
// before it. AArch64 needs both, x86-64 the first.
struct RseqOffsets {
  int64_t descriptor = 0;
  int64_t cpu_id = 0;
};
#if HUGEPOOL_PERCPU_INLINE
static_assert(offsetof(struct rseq, rseq_cs) == offsetof(struct rseq, cpu_id) + 4);
#endif

// What the fast path reads, constant while the pool lives; what AArch64 loads in pairs stands in pairs.
struct PercpuView {
  RseqOffsets rseq;
  uint64_t least_distance = 0;          // of an address from its window's end: -(bytes of a window), or of all windows
                                        // where a magazine takes any
  uint64_t tags_address = 0;            // of the slot tag of address 0: they stand by 64 KiB, those of the windows only
  void** objects = nullptr;             // of CPU 0's magazine of tag 0
  const uint8_t* class_tags = nullptr;  // by TableEntryOf, to kMaxTableBytes
};

// The tag of what this thread freed last: a guess by which the processor goes on before it has read a slot's tag.
extern HUGEPOOL_EXPORT thread_local constinit uint64_t last_freed_tag __attribute__((tls_model("initial-exec")));

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

// The newest object of this CPU's magazine, named by the objects of that of CPU 0; nullptr: there is none at hand, or
// the kernel aborted the sequence. in_memory: the name is read from where it stands, which spares a register.
template <bool in_memory>
__attribute__((always_inline)) inline void* PercpuPop(void** const& objects_of_cpu_0,
                                                      const RseqOffsets& rseq) noexcept {
  void* object;
  uint64_t magazine, index;
#if defined(__x86_64__)
#define HUGEPOOL_POP(constraint)                                                               \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                   \
                    "leaq 3b(%%rip), %[index]\n"                                               \
                    "movq %[index], %%fs:(%[descriptor])\n"                                    \
                    "1:\n"                                                                     \
                    "movslq %%fs:-4(%[descriptor]), %[magazine]\n"                             \
                    "shlq $20, %[magazine]\n"                                                  \
                    "addq %[first], %[magazine]\n"                                             \
                    "movl -16(%[magazine]), %k[index]\n"                                       \
                    "subl $1, %k[index]\n"                                                     \
                    "js %l[none]\n"                                                            \
                    "movq (%[magazine], %[index], 8), %[object]\n"                             \
                    "movl %k[index], -16(%[magazine])\n"                                       \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(none, magazine, index, object)                \
                    : [object] "=&r"(object), [magazine] "=&r"(magazine), [index] "=&r"(index) \
                    : [descriptor] "r"(rseq.descriptor), [first] constraint(objects_of_cpu_0)  \
                    : "memory", "cc"                                                           \
                    : none)
#else
#define HUGEPOOL_POP(constraint)                                                                                  \
  asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR                                                                      \
                    "mrs %[object], tpidr_el0\n"                                                                  \
                    "adrp %[index], 3b\n"                                                                         \
                    "add %[index], %[index], :lo12:3b\n"                                                          \
                    "str %[index], [%[object], %[descriptor]]\n"                                                  \
                    "1:\n"                                                                                        \
                    "ldrsw %[magazine], [%[object], %[cpu_id]]\n"                                                 \
                    "add %[magazine], %[first], %[magazine], lsl #20\n"                                           \
                    "ldr %w[index], [%[magazine], #-16]\n"                                                        \
                    "subs %w[index], %w[index], #1\n"                                                             \
                    "b.lt %l[none]\n"                                                                             \
                    "ldr %[object], [%[magazine], %[index], lsl #3]\n"                                            \
                    "str %w[index], [%[magazine], #-16]\n"                                                        \
                    "2:\n" HUGEPOOL_RSEQ_LANDING(none, magazine, index, object)                                   \
                    : [object] "=&r"(object), [magazine] "=&r"(magazine), [index] "=&r"(index)                    \
                    : [descriptor] "r"(rseq.descriptor), [cpu_id] "r"(rseq.cpu_id), [first] "r"(objects_of_cpu_0) \
                    : "memory", "cc"                                                                              \
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

// A push: `test` leaves the magazine's count in its register, or goes to `refused`; `...` is what it reads besides.
#if defined(__x86_64__)
#define HUGEPOOL_PUSH(constraint, descriptor_constraint, test, ...)                                        \
  asm goto volatile(                                                                                       \
      HUGEPOOL_RSEQ_DESCRIPTOR                                                                             \
      "leaq 3b(%%rip), %[count]\n"                                                                         \
      "movq %[count], %%fs:(%[descriptor])\n"                                                              \
      "1:\n"                                                                                               \
      "movslq %%fs:-4(%[descriptor]), %[magazine]\n"                                                       \
      "shlq $20, %[magazine]\n"                                                                            \
      "addq %[first], %[magazine]\n" test                                                                  \
      "movq %[object], (%[magazine], %[count], 8)\n"                                                       \
      "incl -16(%[magazine])\n"                                                                            \
      "2:\n" HUGEPOOL_RSEQ_LANDING(refused, magazine, count, scratch)                                      \
      : [magazine] "=&r"(magazine), [count] "=&r"(count), [scratch] "=&r"(scratch)                         \
      : [descriptor] descriptor_constraint(rseq.descriptor), [first] constraint(objects_of_cpu_0),         \
        [least_distance] HUGEPOOL_IN_PLACE(least_distance), [object] "r"(object)__VA_OPT__(, ) __VA_ARGS__ \
      : "memory", "cc"                                                                                     \
      : refused)
#define HUGEPOOL_ONCE "[scratch]"
#define HUGEPOOL_TEST_WINDOW             \
  "movq %[object], %[scratch]\n"         \
  "subq -8(%[magazine]), %[scratch]\n"   \
  "cmpq %[least_distance], %[scratch]\n" \
  "jb %l[refused]\n"
#define HUGEPOOL_TEST_ROOM             \
  "movl -16(%[magazine]), %k[count]\n" \
  "cmpl -12(%[magazine]), %k[count]\n" \
  "jge %l[refused]\n"
#define HUGEPOOL_TEST HUGEPOOL_TEST_ROOM HUGEPOOL_TEST_WINDOW
#define HUGEPOOL_TEST_TAGGED              \
  HUGEPOOL_TEST_WINDOW                    \
  "movq %[object], %[scratch]\n"          \
  "shrq $16, %[scratch]\n"                \
  "cmpb %b[tag], (%[tags], %[scratch])\n" \
  "jne %l[refused]\n" HUGEPOOL_TEST_ROOM
#else
#define HUGEPOOL_PUSH(constraint, descriptor_constraint, test, ...)                                                    \
  asm goto volatile(                                                                                                   \
      HUGEPOOL_RSEQ_DESCRIPTOR                                                                                         \
      "mrs %[scratch], tpidr_el0\n"                                                                                    \
      "adrp %[count], 3b\n"                                                                                            \
      "add %[count], %[count], :lo12:3b\n"                                                                             \
      "str %[count], [%[scratch], %[descriptor]]\n"                                                                    \
      "1:\n"                                                                                                           \
      "ldrsw %[magazine], [%[scratch], %[cpu_id]]\n"                                                                   \
      "add %[magazine], %[first], %[magazine], lsl #20\n" test                                                         \
      "str %[object], [%[magazine], %[count], lsl #3]\n"                                                               \
      "add %w[count], %w[count], #1\n"                                                                                 \
      "str %w[count], [%[magazine], #-16]\n"                                                                           \
      "2:\n" HUGEPOOL_RSEQ_LANDING(refused, magazine, count, scratch)                                                  \
      : [magazine] "=&r"(magazine), [count] "=&r"(count), [scratch] "=&r"(scratch)                                     \
      : [descriptor] descriptor_constraint(rseq.descriptor), [cpu_id] "r"(rseq.cpu_id), [first] "r"(objects_of_cpu_0), \
        [least_distance] "r"(least_distance), [object] "r"(object)__VA_OPT__(, ) __VA_ARGS__                           \
      : "memory", "cc"                                                                                                 \
      : refused)
#define HUGEPOOL_ONCE "r"
#define HUGEPOOL_TEST                                 \
  "ldp %w[count], %w[scratch], [%[magazine], #-16]\n" \
  "cmp %w[count], %w[scratch]\n"                      \
  "ldr %[scratch], [%[magazine], #-8]\n"              \
  "sub %[scratch], %[object], %[scratch]\n"           \
  "ccmp %[scratch], %[least_distance], #0, lt\n"      \
  "b.lo %l[refused]\n"
#define HUGEPOOL_TEST_TAGGED                          \
  "ldr %[scratch], [%[magazine], #-8]\n"              \
  "sub %[scratch], %[object], %[scratch]\n"           \
  "cmp %[scratch], %[least_distance]\n"               \
  "b.lo %l[refused]\n"                                \
  "add %[scratch], %[tags], %[object], lsr #16\n"     \
  "ldrb %w[scratch], [%[scratch]]\n"                  \
  "cmp %w[scratch], %w[tag]\n"                        \
  "ldp %w[count], %w[scratch], [%[magazine], #-16]\n" \
  "ccmp %w[count], %w[scratch], #0, eq\n"             \
  "b.ge %l[refused]\n"
#endif

// The object becomes the newest of that magazine. False: it is full, or the object's window is not the magazine's, or
// the kernel aborted the sequence.
template <bool in_memory>
__attribute__((always_inline)) inline bool PercpuPush(void** const& objects_of_cpu_0, const uint64_t& least_distance,
                                                      const RseqOffsets& rseq, void* object) noexcept {
  uint64_t magazine, count, scratch;
  if constexpr (in_memory) {
    HUGEPOOL_PUSH(HUGEPOOL_IN_PLACE, "r", HUGEPOOL_TEST);
  } else {
    HUGEPOOL_PUSH("r", "r", HUGEPOOL_TEST);
  }
  return true;
refused:
  return false;
}

// The same with the magazine of a tag. False also: the object's slot has another tag, which is looked at only when the
// object is known to lie in a window.
__attribute__((always_inline)) inline bool PercpuPushTagged(const PercpuView& view, uint64_t tag,
                                                            void* object) noexcept {
  void** const objects_of_cpu_0 = ObjectsOf(view.objects, tag);
  const RseqOffsets& rseq = view.rseq;
  const uint64_t& least_distance = view.least_distance;
  uint64_t magazine, count, scratch;
  HUGEPOOL_PUSH("r", HUGEPOOL_ONCE, HUGEPOOL_TEST_TAGGED, [tags] "r"(view.tags_address), [tag] "r"(tag));
  return true;
refused:
  return false;
}
#undef HUGEPOOL_PUSH
#undef HUGEPOOL_TEST
#undef HUGEPOOL_TEST_WINDOW
#undef HUGEPOOL_TEST_ROOM
#undef HUGEPOOL_TEST_TAGGED
#undef HUGEPOOL_ONCE

#else

template <bool in_memory>
inline void* PercpuPop(void** const&, const RseqOffsets&) noexcept {
  return nullptr;
}
template <bool in_memory>
inline bool PercpuPush(void** const&, const uint64_t&, const RseqOffsets&, void*) noexcept {
  return false;
}
inline bool PercpuPushTagged(const PercpuView&, uint64_t, void*) noexcept { return false; }

#endif

}  // namespace percpu_v1
}  // namespace hugepool::internal

#endif  // HUGEPOOL_INTERNAL_PERCPU_H_
