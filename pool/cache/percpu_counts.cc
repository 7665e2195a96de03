#include <atomic>

#include "cache/percpu_counts.h"
#include "hugepool/internal/percpu.h"

namespace hugepool::internal {

inline namespace percpu_v1 {
thread_local constinit uint64_t last_freed_tag = 0;
// Used: link-time optimization does not see the assembly that counts.
__attribute__((used)) uint64_t percpu_abort_count = 0;
}  // namespace percpu_v1

// Relaxed: a counter.
uint64_t PercpuAbortCount() { return std::atomic_ref(percpu_abort_count).load(std::memory_order_relaxed); }

}  // namespace hugepool::internal
