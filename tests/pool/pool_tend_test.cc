// Pool::Tend: where nobody comes by a slow path, what is due is done by whoever tends the pool.
#include <gtest/gtest.h>

#include <vector>

#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

constexpr uint64_t kDecayNs = 10'000'000'000;
constexpr size_t kBlockBytes = 3840;

class Tend : public ::testing::Test {
 protected:
  void MakePoolWith(CpuCacheMode cpu_cache) {
    PoolOptions options;
    options.capacity_bytes = 64 * kMiB;
    options.cpu_cache = cpu_cache;
    SimulatedOs::SetCpu(0);
    pool_ = MakePool(options, os_, OneNode());
  }
  void Allocate(size_t bytes) {
    for (size_t i = 0; i < bytes / kBlockBytes; ++i) {
      blocks_.push_back(pool_->Allocate(kBlockBytes));
      ASSERT_NE(blocks_.back(), nullptr);
    }
  }
  void TendAfterADecay() {
    os_.AdvanceNs(kDecayNs);
    pool_->Tend();
  }
  uint64_t DrainingBytes() const { return pool_->Stats().nodes[0].draining_bytes; }

  SimulatedOs os_{EachNode(64, 256 * kMiB)};
  std::shared_ptr<Pool> pool_;
  std::vector<void*> blocks_;
};

// As of a cache that was halved: every second block goes, and from then on as many are freed as taken.
TEST_F(Tend, HalfOfTheBlocksGoAndTheEmptiestPagesDrainThoughNobodyComesBy) {
  MakePoolWith(CpuCacheMode::kAuto);
  Allocate(40 * kMiB);
  for (size_t i = 0; i < blocks_.size(); i += 2) pool_->Deallocate(blocks_[i]);
  EXPECT_GT(pool_->Stats().piled_bytes, 10 * kMiB);
  const uint64_t committed_bytes = pool_->Stats().committed_bytes;
  pool_->Tend();
  EXPECT_GT(pool_->Stats().piled_bytes, 10 * kMiB) << "it may be wanted again";
  for (int i = 0; i < 4; ++i) TendAfterADecay();
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
  EXPECT_GT(DrainingBytes(), 10 * kMiB);
  EXPECT_EQ(pool_->Stats().committed_bytes, committed_bytes) << "their blocks live";
  for (size_t i = 1; i < blocks_.size(); i += 2) {
    void* const next = pool_->Allocate(kBlockBytes);
    pool_->Deallocate(blocks_[i]);
    blocks_[i] = next;
  }
  for (int i = 0; i < 3; ++i) TendAfterADecay();
  EXPECT_LT(pool_->Stats().committed_bytes, committed_bytes * 7 / 10);
  EXPECT_EQ(Complaint(*pool_), "");
  for (size_t i = 1; i < blocks_.size(); i += 2) pool_->Deallocate(blocks_[i]);
}

TEST_F(Tend, EmptyPagesGoBackAllButOne) {
  MakePoolWith(CpuCacheMode::kOff);
  Allocate(40 * kMiB);
  for (void* const block : blocks_) pool_->Deallocate(block);
  EXPECT_GT(pool_->Stats().committed_bytes, 38 * kMiB);
  pool_->Tend();
  EXPECT_GT(pool_->Stats().committed_bytes, 38 * kMiB) << "they have not stood empty for long";
  for (int i = 0; i < 2; ++i) TendAfterADecay();
  EXPECT_LE(pool_->Stats().committed_bytes, 2 * kHugePageBytes);
  EXPECT_EQ(Complaint(*pool_), "");
}

TEST_F(Tend, APoolInUseStaysAsItIs) {
  MakePoolWith(CpuCacheMode::kAuto);
  Allocate(40 * kMiB);
  const uint64_t committed_bytes = pool_->Stats().committed_bytes;
  for (int i = 0; i < 10; ++i) TendAfterADecay();
  EXPECT_EQ(pool_->Stats().committed_bytes, committed_bytes);
  EXPECT_EQ(DrainingBytes(), 0u);
  for (void* const block : blocks_) pool_->Deallocate(block);
}

}  // namespace
}  // namespace hugepool::testing
