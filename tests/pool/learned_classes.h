// LearnedClasses: blocks of sizes that shift, replaced at random in a pool that learns, and what the pool takes for them.
//
// Units      bytes; share: footprint (committed + metadata) divided by payload
// Threads    one
#ifndef HUGEPOOL_TESTS_POOL_LEARNED_CLASSES_H_
#define HUGEPOOL_TESTS_POOL_LEARNED_CLASSES_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "hugepool/pool.h"

namespace hugepool::testing {

class ReplacedBlocks {
 public:
  ReplacedBlocks(std::shared_ptr<Pool> pool, uint64_t seed) : pool_(std::move(pool)), random_(seed) {}
  ~ReplacedBlocks() {
    while (!blocks_.empty()) FreeAny();
  }
  ReplacedBlocks(const ReplacedBlocks&) = delete;
  ReplacedBlocks& operator=(const ReplacedBlocks&) = delete;

  // Until live_bytes live, and replaced_bytes were freed at random for new ones; sizes from least to most.
  void Run(size_t least, size_t most, uint64_t live_bytes, uint64_t replaced_bytes) {
    std::uniform_int_distribution<size_t> next_bytes(least, most);
    for (const uint64_t end = freed_bytes_ + replaced_bytes; freed_bytes_ < end || payload_bytes_ < live_bytes;) {
      while (payload_bytes_ >= live_bytes) FreeAny();
      const size_t bytes = next_bytes(random_);
      void* const address = pool_->Allocate(bytes);
      ASSERT_NE(address, nullptr);
      blocks_.push_back({address, bytes});
      payload_bytes_ += bytes;
    }
  }

  double Share() const {
    return static_cast<double>(pool_->Stats().FootprintBytes()) / static_cast<double>(payload_bytes_);
  }

 private:
  struct Block {
    void* address;
    size_t bytes;
  };

  void FreeAny() {
    std::swap(blocks_[random_() % blocks_.size()], blocks_.back());
    pool_->Deallocate(blocks_.back().address);
    freed_bytes_ += blocks_.back().bytes;
    payload_bytes_ -= blocks_.back().bytes;
    blocks_.pop_back();
  }

  const std::shared_ptr<Pool> pool_;
  std::mt19937_64 random_;
  std::vector<Block> blocks_;
  uint64_t payload_bytes_ = 0;
  uint64_t freed_bytes_ = 0;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_LEARNED_CLASSES_H_
