#include "os/mutex.h"

#include "os/report.h"

namespace hugepool::internal {

#ifndef NDEBUG
namespace {
// Bit r set: this thread holds a lock of rank r.
thread_local uint32_t held_ranks = 0;
}  // namespace

void Mutex::CheckRank() const {
  const uint32_t rank = static_cast<uint32_t>(rank_);
  if (held_ranks >> rank != 0)
    Die("lock order", "a lock of rank %u was asked for while ranks 0x%x are held", rank, held_ranks);
}
void Mutex::Taken() const { held_ranks |= 1U << static_cast<uint32_t>(rank_); }
bool Mutex::AnyHeld() { return held_ranks != 0; }
void Mutex::Released() const { held_ranks &= ~(1U << static_cast<uint32_t>(rank_)); }
#endif

}  // namespace hugepool::internal
