#include "bench/pool_bench/failure.h"

#include <atomic>

namespace hugepool::bench {
namespace {

std::atomic<bool> any_failed = false;  // relaxed: read after all threads were joined

}  // namespace

const char* ToString(Trouble trouble) {
  switch (trouble) {
    case Trouble::kNone: return "";
    case Trouble::kRefused: return "Allocate returned nullptr";
    case Trouble::kChanged: return "a live block does not hold what was written into it";
  }
  return "?";
}

void Fail(benchmark::State& state, const std::string& reason) {
  any_failed.store(true, std::memory_order_relaxed);
  state.SkipWithError(reason.c_str());
}

bool AnyFailed() { return any_failed.load(std::memory_order_relaxed); }

}  // namespace hugepool::bench
