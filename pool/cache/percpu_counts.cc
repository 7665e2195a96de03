#include <atomic>

#include "cache/percpu_counts.h"
#include "hugepool/internal/percpu.h"

namespace hugepool::internal {
namespace {
std::atomic<uint64_t> abort_count{0};  // relaxed: a counter
}  // namespace

inline namespace percpu_v1 {
thread_local constinit LastFreed last_freed = {};

void CountPercpuAbort() noexcept { abort_count.fetch_add(1, std::memory_order_relaxed); }
}  // namespace percpu_v1

uint64_t PercpuAbortCount() { return abort_count.load(std::memory_order_relaxed); }

}  // namespace hugepool::internal
