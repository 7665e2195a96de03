// Filling: blocks of mixed sizes from one pool, each with its own stamp, so that a lost or shared byte is seen.
//
// Units      bytes
// Owner      the test; gives its blocks back when destroyed
// Threads    one
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_FILLING_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_FILLING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "hugepool/pool.h"
#include "numa_guest/page_census.h"

namespace hugepool::guest {

class Filling {
 public:
  explicit Filling(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}
  ~Filling() { Clear(); }
  Filling(const Filling&) = delete;
  Filling& operator=(const Filling&) = delete;

  // Allocates sizes log-uniform from 64 B to 512 KiB until `bytes` more are held, or the pool says no (false).
  bool AddMixed(size_t bytes);
  // Allocates blocks of one size until `bytes` more are held, or the pool says no (false).
  bool AddEqual(size_t block_bytes, size_t bytes);
  bool Add(size_t block_bytes);

  // Every stamp as it was written.
  bool Intact() const;
  void Clear();

  const std::vector<Block>& blocks() const { return blocks_; }
  size_t bytes() const { return bytes_; }

 private:
  const std::shared_ptr<Pool> pool_;
  std::mt19937_64 random_{20240607};
  std::vector<Block> blocks_;
  size_t bytes_ = 0;
};

// Pool::Create with a failed assertion that says why, where it is refused.
std::shared_ptr<Pool> CreateOrFail(const PoolOptions& options);

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_FILLING_H_
