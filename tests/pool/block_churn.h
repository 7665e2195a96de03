// BlockChurn: the two ways in which the cost of a pair (a free and an allocation) is measured: eight blocks taken and
// given back, and many live ones of which one at random is replaced.
//
// Units      bytes; a pair is one allocation and one free
// Owner      the test; gives its blocks back when destroyed
// Threads    one
#ifndef HUGEPOOL_TESTS_POOL_BLOCK_CHURN_H_
#define HUGEPOOL_TESTS_POOL_BLOCK_CHURN_H_

#include <array>
#include <cstddef>
#include <random>
#include <vector>

#include "hugepool/pool.h"

namespace hugepool::testing {

class BlockChurn {
 public:
  static constexpr size_t kBlockBytes = 4096;

  explicit BlockChurn(Pool& pool) : pool_(pool) {}
  ~BlockChurn() {
    for (void* block : live_) pool_.Deallocate(block);
  }
  BlockChurn(const BlockChurn&) = delete;
  BlockChurn& operator=(const BlockChurn&) = delete;

  void Grow(size_t block_count) {
    for (size_t i = 0; i < block_count; ++i) live_.push_back(pool_.Allocate(kBlockBytes));
  }
  // Which blocks Replace takes: chosen ahead, so that the choice is no part of what is measured.
  void Choose(size_t pair_count) {
    chosen_.clear();
    for (size_t i = 0; i < pair_count; ++i) chosen_.push_back(&live_[random_() % live_.size()]);
  }
  void Replace() {
    for (void** block : chosen_) {
      pool_.Deallocate(*block);
      *block = pool_.Allocate(kBlockBytes);
    }
  }
  void TakeEightAndGiveThemBack(size_t pair_count) {
    std::array<void*, 8> blocks;
    for (size_t i = 0; i < pair_count / blocks.size(); ++i) {
      for (void*& block : blocks) block = pool_.Allocate(kBlockBytes);
      for (void* block : blocks) pool_.Deallocate(block);
    }
  }
  size_t CountOn(int node_id) const {
    size_t count = 0;
    for (const void* block : live_) count += pool_.NodeOf(block) == node_id ? 1 : 0;
    return count;
  }
  const std::vector<void*>& live() const { return live_; }

 private:
  Pool& pool_;
  std::minstd_rand random_{20240607};
  std::vector<void*> live_;
  std::vector<void**> chosen_;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_BLOCK_CHURN_H_
