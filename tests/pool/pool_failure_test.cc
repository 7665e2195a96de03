// Every call of the system refused once, at every position of a script of 1,000 operations, Create and destruction
// included: the documented result, nothing lost, no leak, and all memory back.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

constexpr std::array<int, 5> kErrnos = {ENOMEM, EFAULT, EPERM, EINVAL, ENOSYS};
constexpr size_t kOperationCount = 1000;
// Sanitizers take long: there so many positions are visited for each call and errno.
constexpr uint64_t kVisits = kThreadSanitizer ? 3 : 8;
constexpr uint64_t kHugePages = 6;
constexpr uint64_t kSmallBytes = 64 * kMiB + 16 * kMiB;  // 64 MiB are left to everybody else

struct Block {
  char* address = nullptr;
  size_t bytes = 0;
  uint64_t id = 0;
};

// One run of the script. Sizes are stamped at both ends only, so that hundreds of thousands of operations stay cheap.
class Script {
 public:
  Script(SimulatedOs& os, const PoolOptions& options, const internal::Topology& topology)
      : os_(os), options_(options), topology_(topology), rival_giant_pages_(1 - os.free_giant_page_count(0)) {}

  void Run() {
    Error error;
    pool_ = internal::CreatePool(options_, os_, topology_, &error);
    if (pool_ == nullptr) {
      EXPECT_TRUE(error);
      EXPECT_FALSE(error.operation.empty());
      EXPECT_FALSE(error.message.empty());
      EXPECT_FALSE(error.mend.empty());
      return;
    }
    EXPECT_FALSE(error) << "a pool and an error: " << error.ToString();
    for (size_t i = 0; i < kOperationCount; ++i) Step(i);
    std::string why;
    EXPECT_TRUE(pool_->CheckInvariants(&why)) << why;
    const PoolStats stats = pool_->Stats();
    EXPECT_EQ(stats.allocated_count, blocks_.size());
    EXPECT_LE(stats.committed_bytes, stats.capacity_bytes);
    EXPECT_EQ(stats.failed_count, refusal_count_);
    while (!blocks_.empty()) Free(blocks_.size() - 1);
    // A refusal may have kept a page; asked again it goes.
    (void)pool_->Trim(0);
    EXPECT_EQ(pool_->Trim(0), 0u);
    EXPECT_TRUE(pool_->CheckInvariants(&why)) << why;
    EXPECT_EQ(pool_->Stats().allocated_bytes, 0u);
    pool_.reset();
  }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }

  void Step(size_t i) {
    SimulatedOs::SetCpu(static_cast<int>(Below(4)));
    if (Below(8) == 0) os_.AdvanceNs(10'000'000);
    // The script falls back and recovers; on node 0 a rival takes all and lets it go.
    if (i % 250 == 100) {
      rival_pages_ = os_.free_huge_page_count(0);
      rival_giant_pages_ += os_.free_giant_page_count(0);
      os_.SetFreeHugePages(0, 0);
      os_.SetFreeGiantPages(0, 0);
    }
    if (i % 250 == 200) {
      os_.SetFreeHugePages(0, os_.free_huge_page_count(0) + rival_pages_);
      os_.SetFreeGiantPages(0, os_.free_giant_page_count(0) + rival_giant_pages_);
      rival_giant_pages_ = 0;
    }
    const uint64_t choice = Below(32);
    if (choice == 0) {
      (void)pool_->Trim(Below(options_.capacity_bytes));
    } else if (choice < (i / 100 % 2 == 0 ? 20U : 12U) || blocks_.empty()) {
      Allocate();
    } else {
      Free(Below(blocks_.size()));
    }
  }

  void Allocate() {
    const size_t bytes = 1 + (random_() & ((uint64_t{1} << Below(23)) - 1));
    char* const block = static_cast<char*>(pool_->Allocate(bytes));
    if (block == nullptr) {
      ++refusal_count_;
      return;
    }
    EXPECT_GE(pool_->UsableSize(block), bytes);
    EXPECT_TRUE(os_.IsPresent(block, bytes)) << "a block of " << bytes << " bytes is not populated";
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (bytes >= kCacheLineFromBytes ? 64 : 16), 0u);
    blocks_.push_back({block, bytes, ++next_id_ << 21});
    Stamp(block, std::min<size_t>(bytes, 64), blocks_.back().id);
    if (bytes > 128) Stamp(block + bytes - 64, 64, blocks_.back().id + 64);
  }

  void Free(size_t index) {
    std::swap(blocks_[index], blocks_.back());
    const Block block = blocks_.back();
    blocks_.pop_back();
    EXPECT_TRUE(HasStamp(block.address, std::min<size_t>(block.bytes, 64), block.id));
    if (block.bytes > 128) {
      EXPECT_TRUE(HasStamp(block.address + block.bytes - 64, 64, block.id + 64));
    }
    pool_->Deallocate(block.address, block.bytes);
  }

  SimulatedOs& os_;
  const PoolOptions options_;
  const internal::Topology topology_;
  std::mt19937_64 random_{20240607};
  std::shared_ptr<Pool> pool_;
  std::vector<Block> blocks_;
  uint64_t next_id_ = 0;
  uint64_t refusal_count_ = 0;
  uint64_t rival_pages_ = 0;
  uint64_t rival_giant_pages_;
};

struct Setting {
  const char* name;
  HugePages huge_pages;
  Placement placement;
  PopulateAtStart populate;
  bool one_node = false;  // FourNodes() otherwise
  bool giant = false;     // pages of 1 GiB, of which there is one; where the pool may fall back it comes late
};

class PoolFailure : public ::testing::TestWithParam<Setting> {
 protected:
  static PoolOptions Options() {
    PoolOptions options;
    const bool required = GetParam().huge_pages == HugePages::kRequired;
    options.capacity_bytes = !GetParam().giant ? 24 * kMiB : required ? kGiB : 2 * kGiB;
    options.page_bytes = GetParam().giant ? kGiantPageBytes : kHugePageBytes;
    options.huge_pages = GetParam().huge_pages;
    options.placement = GetParam().placement;
    options.populate_at_start = GetParam().populate;
    options.cache_bytes_per_cpu = size_t{64} << 10;
    options.wait_for_huge_pages_seconds = 1;
    return options;
  }

  static std::vector<SimulatedOs::NodeMemory> Memory() {
    auto nodes = EachNode(kHugePages, kSmallBytes);
    if (GetParam().one_node) nodes.resize(1);
    if (GetParam().giant && GetParam().huge_pages == HugePages::kRequired) nodes.front().giant_page_count = 1;
    return nodes;
  }

  static void RunScript(SimulatedOs& os) { Script(os, Options(), GetParam().one_node ? OneNode() : FourNodes()).Run(); }

  // Runs the script with what `fail` asks of the machine.
  template <typename Fail>
  void RunOnce(Call call, Fail fail) {
    SimulatedOs os(Memory());
    fail(os);
    RunScript(os);
    os.FailNever();
    // A mapping that the kernel does not unmap stays, whatever one does.
    if (call != Call::kUnmap) {
      EXPECT_EQ(os.mapping_count(), 0u) << "a leak";
      EXPECT_EQ(os.present_page_count(), 0u);
    } else {
      EXPECT_LE(os.mapping_count(), 1u);
    }
    EXPECT_EQ(os.complaints(), std::vector<std::string>());
  }
};

TEST_P(PoolFailure, OneRefusalOfAnyCallAtAnyPositionLosesNothing) {
  const Stopwatch stopwatch;
  SimulatedOs counting(Memory());
  RunScript(counting);
  uint64_t run_count = 0;
  for (const Call call : AllCalls()) {
    const uint64_t position_count = counting.call_count(call);
    const uint64_t stride = kSanitized ? 1 + position_count / kVisits : 1;
    for (size_t e = 0; e < kErrnos.size(); ++e) {
      for (uint64_t position = e % stride; position < position_count; position += stride) {
        SCOPED_TRACE(std::string(ToString(call)) + " refused with " + strerrorname_np(kErrnos[e]) + " at position " +
                     std::to_string(position));
        RunOnce(call, [&](SimulatedOs& os) { os.FailOnce(call, position, kErrnos[e]); });
        ++run_count;
        if (HasFailure()) return;
      }
    }
  }
  WriteFigures(std::string("pool_failure_") + GetParam().name,
               {{"runs", static_cast<double>(run_count)}, {"seconds", stopwatch.Seconds()}});
}

TEST_P(PoolFailure, RefusalForEverFromAnyPositionLosesNothing) {
  SimulatedOs counting(Memory());
  RunScript(counting);
  for (const Call call : AllCalls()) {
    if (call == Call::kUnmap || call == Call::kGiveBack) continue;  // their pages stay: no script ends empty
    const uint64_t position_count = counting.call_count(call);
    const uint64_t stride = 1 + position_count / (kSanitized ? kVisits / 3 : 40);
    for (const int errno_value : kErrnos) {
      for (uint64_t position = 0; position < position_count; position += stride) {
        SCOPED_TRACE(std::string(ToString(call)) + " refused with " + strerrorname_np(errno_value) + " from position " +
                     std::to_string(position));
        RunOnce(call, [&](SimulatedOs& os) { os.FailFrom(call, position, errno_value); });
        if (HasFailure()) return;
      }
    }
  }
}

std::string SettingName(const ::testing::TestParamInfo<Setting>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(
    Settings, PoolFailure,
    ::testing::Values(Setting{"local", HugePages::kPreferred, Placement::Local(), PopulateAtStart::kNone},
                      Setting{"strict", HugePages::kPreferred, Placement::LocalStrict(), PopulateAtStart::kNone},
                      Setting{"interleave", HugePages::kTransparent, Placement::Interleave(), PopulateAtStart::kAll},
                      Setting{"node", HugePages::kOff, Placement::Node(1), PopulateAtStart::kNone},
                      Setting{"giant", HugePages::kPreferred, Placement::Local(), PopulateAtStart::kNone, true, true},
                      Setting{"giant_required", HugePages::kRequired, Placement::Local(), PopulateAtStart::kNone, true,
                              true},
                      Setting{"one_node", HugePages::kPreferred, Placement::Local(), PopulateAtStart::kNone, true}),
    SettingName);

}  // namespace
}  // namespace hugepool::testing
