// MagazineBatch: several pointers at once into or out of the magazine of the CPU that runs the caller, as one
// restartable sequence.
//
// Shape      the sequences of hugepool/internal/percpu.h with a loop before the committing store; what they copy before it
//            lies where nobody looks until the count says so
// Units      pointers
// Threads    any
// Cost       about one instruction cycle a pointer
#ifndef HUGEPOOL_CACHE_MAGAZINE_BATCH_H_
#define HUGEPOOL_CACHE_MAGAZINE_BATCH_H_

#include <cstddef>
#include <cstdint>

#include "hugepool/internal/percpu.h"

namespace hugepool::internal {

#if HUGEPOOL_PERCPU_INLINE

// Moves the newest objects out, up to `wanted` (at least 1); returns how many.
inline size_t PercpuPopBatch(const Magazine* magazine_of_cpu_0, void** objects, size_t wanted) {
  while (true) {
    uint64_t magazine, taken, left, step, object;
#if defined(__x86_64__)
    asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR
                      "leaq 3b(%%rip), %[left]\n"
                      "movq %[left], %%fs:8(%[rseq])\n"
                      "1:\n"
                      "movslq %%fs:4(%[rseq]), %[magazine]\n"
                      "shlq $20, %[magazine]\n"
                      "addq %[first], %[magazine]\n"
                      "xorl %k[taken], %k[taken]\n"
                      "movslq (%[magazine]), %[left]\n"
                      "testq %[left], %[left]\n"
                      "jle 2f\n"
                      "movq %[wanted], %[taken]\n"
                      "cmpq %[taken], %[left]\n"
                      "cmovlq %[left], %[taken]\n"
                      "movq %[taken], %[step]\n"
                      "5: movq 8(%[magazine], %[left], 8), %[object]\n"
                      "movq %[object], -8(%[objects], %[step], 8)\n"
                      "subq $1, %[left]\n"
                      "subq $1, %[step]\n"
                      "jnz 5b\n"
                      "movl %k[left], (%[magazine])\n"
                      "2:\n" HUGEPOOL_RSEQ_LANDING(aborted, magazine, left, step)
                      : [magazine] "=&r"(magazine), [taken] "=&r"(taken), [left] "=&r"(left), [step] "=&r"(step),
                        [object] "=&r"(object)
                      : [rseq] "r"(int64_t{__rseq_offset}), [first] "rm"(magazine_of_cpu_0), [objects] "r"(objects),
                        [wanted] "rm"(wanted)
                      : "memory", "cc"
                      : aborted);
#else
    asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR
                      "mrs %[object], tpidr_el0\n"
                      "add %[object], %[object], %[rseq]\n"
                      "adrp %[left], 3b\n"
                      "add %[left], %[left], :lo12:3b\n"
                      "str %[left], [%[object], #8]\n"
                      "1:\n"
                      "ldrsw %[magazine], [%[object], #4]\n"
                      "add %[magazine], %[first], %[magazine], lsl #20\n"
                      "mov %[taken], xzr\n"
                      "ldrsw %[left], [%[magazine]]\n"
                      "cmp %[left], #0\n"
                      "b.le 2f\n"
                      "cmp %[left], %[wanted]\n"
                      "csel %[taken], %[left], %[wanted], lo\n"
                      "sub %[left], %[left], %[taken]\n"
                      "mov %[step], xzr\n"
                      "5:\n"
                      "add %[object], %[left], %[step]\n"
                      "add %[object], %[magazine], %[object], lsl #3\n"
                      "ldr %[object], [%[object], #16]\n"
                      "str %[object], [%[objects], %[step], lsl #3]\n"
                      "add %[step], %[step], #1\n"
                      "cmp %[step], %[taken]\n"
                      "b.lo 5b\n"
                      "str %w[left], [%[magazine]]\n"
                      "2:\n" HUGEPOOL_RSEQ_LANDING(aborted, magazine, left, step)
                      : [magazine] "=&r"(magazine), [taken] "=&r"(taken), [left] "=&r"(left), [step] "=&r"(step),
                        [object] "=&r"(object)
                      : [rseq] "r"(int64_t{__rseq_offset}), [first] "r"(magazine_of_cpu_0), [objects] "r"(objects),
                        [wanted] "r"(wanted)
                      : "memory", "cc"
                      : aborted);
#endif
    asm volatile("");  // as in PercpuPop
    return taken;
  aborted:
    asm volatile("");
  }
}

// Moves objects in, from the front, as far as the capacity reaches; returns how many: none where the caller runs on
// another CPU than `cpu` by now. Windows are not compared: the objects are those that this CPU's magazine may hold.
inline size_t PercpuPushBatch(const Magazine* magazine_of_cpu_0, int cpu, void* const* objects, size_t count) {
  while (true) {
    uint64_t magazine, room, held, step, object;
#if defined(__x86_64__)
    asm goto volatile(
        HUGEPOOL_RSEQ_DESCRIPTOR
        "leaq 3b(%%rip), %[room]\n"
        "movq %[room], %%fs:8(%[rseq])\n"
        "1:\n"
        "movslq %%fs:4(%[rseq]), %[magazine]\n"
        "cmpl %[cpu], %k[magazine]\n"
        "jne 7f\n"
        "shlq $20, %[magazine]\n"
        "addq %[first], %[magazine]\n"
        "movslq (%[magazine]), %[held]\n"
        "movslq 4(%[magazine]), %[room]\n"
        "subq %[held], %[room]\n"
        "jle 7f\n"
        "cmpq %[count], %[room]\n"
        "cmovaq %[count], %[room]\n"
        "leaq 16(%[magazine], %[held], 8), %[held]\n"
        "xorl %k[step], %k[step]\n"
        "5: cmpq %[room], %[step]\n"
        "jae 6f\n"
        "movq (%[objects], %[step], 8), %[object]\n"
        "movq %[object], (%[held], %[step], 8)\n"
        "addq $1, %[step]\n"
        "jmp 5b\n"
        "7: xorl %k[room], %k[room]\n"
        "jmp 2f\n"
        "6: addl %k[room], (%[magazine])\n"
        "2:\n" HUGEPOOL_RSEQ_LANDING(aborted, magazine, held, step)
        : [magazine] "=&r"(magazine), [room] "=&r"(room), [held] "=&r"(held), [step] "=&r"(step), [object] "=&r"(object)
        : [rseq] "r"(int64_t{__rseq_offset}), [first] "rm"(magazine_of_cpu_0), [objects] "r"(objects),
          [count] "rm"(count), [cpu] "rm"(cpu)
        : "memory", "cc"
        : aborted);
#else
    uint64_t place;
    asm goto volatile(HUGEPOOL_RSEQ_DESCRIPTOR
                      "mrs %[object], tpidr_el0\n"
                      "add %[object], %[object], %[rseq]\n"
                      "adrp %[room], 3b\n"
                      "add %[room], %[room], :lo12:3b\n"
                      "str %[room], [%[object], #8]\n"
                      "1:\n"
                      "ldrsw %[magazine], [%[object], #4]\n"
                      "mov %[room], xzr\n"
                      "cmp %w[magazine], %w[cpu]\n"
                      "b.ne 2f\n"
                      "add %[magazine], %[first], %[magazine], lsl #20\n"
                      "ldpsw %[held], %[room], [%[magazine]]\n"
                      "subs %[room], %[room], %[held]\n"
                      "csel %[room], %[room], xzr, gt\n"
                      "cbz %[room], 2f\n"
                      "cmp %[room], %[count]\n"
                      "csel %[room], %[room], %[count], lo\n"
                      "mov %[step], xzr\n"
                      "5:\n"
                      "ldr %[object], [%[objects], %[step], lsl #3]\n"
                      "add %[place], %[magazine], %[held], lsl #3\n"
                      "str %[object], [%[place], #16]\n"
                      "add %[step], %[step], #1\n"
                      "add %[held], %[held], #1\n"
                      "cmp %[step], %[room]\n"
                      "b.lo 5b\n"
                      "str %w[held], [%[magazine]]\n"
                      "2:\n" HUGEPOOL_RSEQ_LANDING(aborted, magazine, held, step)
                      : [magazine] "=&r"(magazine), [room] "=&r"(room), [held] "=&r"(held), [step] "=&r"(step),
                        [object] "=&r"(object), [place] "=&r"(place)
                      : [rseq] "r"(int64_t{__rseq_offset}), [first] "r"(magazine_of_cpu_0), [objects] "r"(objects),
                        [count] "r"(count), [cpu] "r"(cpu)
                      : "memory", "cc"
                      : aborted);
#endif
    asm volatile("");
    return room;
  aborted:
    asm volatile("");
  }
}

#else

inline size_t PercpuPopBatch(const Magazine*, void**, size_t) { return 0; }
inline size_t PercpuPushBatch(const Magazine*, int, void* const*, size_t) { return 0; }

#endif

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_MAGAZINE_BATCH_H_
