#include "numa_guest/filling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace hugepool::guest {
namespace {

constexpr size_t kSmallestBytes = 64;
constexpr size_t kLargestBytes = size_t{512} << 10;
constexpr size_t kStampStepBytes = 4096;

uint64_t StampOf(const char* address) { return reinterpret_cast<uint64_t>(address) * 0x9e3779b97f4a7c15; }

// The start of each 4 KiB of the block, and its last 8 bytes.
template <typename Visit>
void ForEachStamp(const Block& block, Visit visit) {
  char* const start = static_cast<char*>(block.address);
  for (size_t offset = 0; offset + sizeof(uint64_t) <= block.bytes; offset += kStampStepBytes) visit(start + offset);
  if (block.bytes > sizeof(uint64_t)) visit(start + block.bytes - sizeof(uint64_t));
}

}  // namespace

bool Filling::Add(size_t block_bytes) {
  void* address = pool_->Allocate(block_bytes);
  if (address == nullptr) return false;
  blocks_.push_back({address, block_bytes});
  bytes_ += block_bytes;
  ForEachStamp(blocks_.back(), [](char* place) {
    const uint64_t stamp = StampOf(place);
    std::memcpy(place, &stamp, sizeof stamp);
  });
  return true;
}

bool Filling::AddMixed(size_t bytes) {
  std::uniform_real_distribution<double> exponent(std::log2(kSmallestBytes), std::log2(kLargestBytes));
  for (const size_t goal = bytes_ + bytes; bytes_ < goal;) {
    if (!Add(static_cast<size_t>(std::exp2(exponent(random_))))) return false;
  }
  return true;
}

bool Filling::AddEqual(size_t block_bytes, size_t bytes) {
  for (const size_t goal = bytes_ + bytes; bytes_ < goal;) {
    if (!Add(block_bytes)) return false;
  }
  return true;
}

bool Filling::Intact() const {
  bool intact = true;
  for (const Block& block : blocks_) {
    ForEachStamp(block, [&intact](const char* place) {
      uint64_t stamp = 0;
      std::memcpy(&stamp, place, sizeof stamp);
      intact = intact && stamp == StampOf(place);
    });
  }
  return intact;
}

void Filling::Clear() {
  for (const Block& block : blocks_) pool_->Deallocate(block.address, block.bytes);
  blocks_.clear();
  bytes_ = 0;
}

std::shared_ptr<Pool> CreateOrFail(const PoolOptions& options) {
  Error error;
  std::shared_ptr<Pool> pool = Pool::Create(options, &error);
  if (pool == nullptr) ADD_FAILURE() << "Pool::Create(" << options.ToString() << "): " << error.ToString();
  return pool;
}

}  // namespace hugepool::guest
