#include "pool/preemption_stress.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

constexpr size_t kBlocksPerThread = 48;
constexpr size_t kCellCount = 64;
constexpr std::array<uint32_t, 8> kSizes = {64, 64, 256, 1000, 1024, 4160, 16'448, 100};
constexpr uint64_t kOperationsPerTurn = 256;  // between looks at what the others do
constexpr int kForkCount = 5;

struct Block {
  char* address = nullptr;
  uint32_t bytes = 0;
  uint64_t mark = 0;
};

// A block on its way from one thread to another; a cell is taken and filled under its lock.
struct Cell {
  std::mutex mutex;
  Block block;
};

class Stress {
 public:
  explicit Stress(const PreemptionPlan& plan) : plan_(plan) {}

  PreemptionResult Run() {
    Stopwatch watch;
    PoolOptions options;
    options.capacity_bytes = size_t{256} << 20;
    options.huge_pages = HugePages::kOff;
    options.cpu_cache = plan_.mode;
    options.name = "stress";
    Error error;
    pool_ = Pool::Create(options, &error);
    if (pool_ == nullptr) {
      Fail(error.ToString());
      return result_;
    }
    cache_ = SlabCache::Create(pool_, kSizes[0], &error);
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    (void)sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) cpus_.push_back(cpu);
    }
    struct sigaction quiet = {};
    quiet.sa_handler = [](int) {};
    quiet.sa_flags = SA_RESTART;
    struct sigaction before = {};
    (void)sigaction(SIGUSR2, &quiet, &before);
    const uint64_t aborts_before = pool_->Stats().aborted_sequence_count;
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 8 * cpus_.size(); ++t) threads.emplace_back([this, t] { Work(t); });
    std::minstd_rand random(static_cast<unsigned>(plan_.seed));
    double next_fork = 0.05;
    while (!stop_) {
      // At those that run now, as far as they said so: a signal that waits for its thread disturbs nothing.
      pthread_kill(
          threads[running_[static_cast<size_t>(cpus_[random() % cpus_.size()]) % running_.size()]].native_handle(),
          SIGUSR2);
      ++result_.signal_count;
      if (result_.signal_count % 512 != 0) continue;
      result_.abort_count = pool_->Stats().aborted_sequence_count - aborts_before;
      const bool aborted_enough =
          pool_->Stats().cache_mode != std::string("rseq") || result_.abort_count >= plan_.abort_count;
      if (result_.fork_count < kForkCount && watch.Seconds() > next_fork) {
        ForkInTheMiddle();
        next_fork *= 2;
      }
      if (random() % 8 == 0) {
        (void)pool_->Trim(random() % 2 == 0 ? 0 : options.capacity_bytes);
        ++result_.trim_count;
      }
      const bool done = operations_ >= plan_.operation_count && watch.Seconds() >= plan_.at_least_seconds &&
                        aborted_enough && result_.fork_count == kForkCount;
      if (done || watch.Seconds() > plan_.give_up_after_seconds) stop_ = true;
    }
    for (std::thread& thread : threads) thread.join();
    for (Cell& cell : cells_) Free(&cell.block, 0);
    (void)sigaction(SIGUSR2, &before, nullptr);
    result_.operation_count = operations_;
    result_.move_count = moves_;
    const PoolStats stats = pool_->Stats();
    if (stats.allocated_bytes != 0) Fail(std::to_string(stats.allocated_bytes) + " bytes are lost");
    std::string why;
    if (!pool_->CheckInvariants(&why)) Fail(why);
    if (pool_->Trim(0) != 0) Fail("after everything was freed, pages stay committed");
    result_.seconds = watch.Seconds();
    return result_;
  }

 private:
  void Fail(const std::string& what) {
    const std::lock_guard lock(wrong_mutex_);
    if (result_.wrong.empty()) result_.wrong = what;
    stop_ = true;
  }

  void Write(const Block& block) {
    std::memcpy(block.address, &block.mark, sizeof block.mark);
    std::memcpy(block.address + block.bytes - sizeof block.mark, &block.mark, sizeof block.mark);
  }
  bool Holds(const Block& block) {
    uint64_t first = 0;
    uint64_t last = 0;
    std::memcpy(&first, block.address, sizeof first);
    std::memcpy(&last, block.address + block.bytes - sizeof last, sizeof last);
    return first == block.mark && last == block.mark;
  }

  void Free(Block* block, unsigned how) {
    if (block->address == nullptr) return;
    if (!Holds(*block)) Fail("a block of " + std::to_string(block->bytes) + " bytes belongs to two");
    if (block->bytes == kSizes[0] && how % 4 == 0) {
      cache_->Deallocate(block->address);
    } else if (how % 2 == 0) {
      pool_->Deallocate(block->address, block->bytes);
    } else {
      pool_->Deallocate(block->address);
    }
    block->address = nullptr;
  }

  void Work(size_t thread) {
    std::minstd_rand random(static_cast<unsigned>(plan_.seed + thread * 7919 + 1));
    std::array<Block, kBlocksPerThread> blocks;
    uint64_t mark = (thread + 1) << 48;
    for (uint64_t turn = 0; !stop_; ++turn) {
      for (uint64_t i = 0; i < kOperationsPerTurn; ++i) {
        const unsigned choice = static_cast<unsigned>(random());
        Block& block = blocks[choice % kBlocksPerThread];
        if (block.address != nullptr) {
          Free(&block, choice >> 8);
          continue;
        }
        block.bytes = kSizes[(choice >> 8) % kSizes.size()];
        block.mark = ++mark;
        const bool by_cache = block.bytes == kSizes[0] && (choice >> 12) % 2 == 0;
        block.address = static_cast<char*>(by_cache ? cache_->Allocate() : pool_->Allocate(block.bytes));
        if (block.address == nullptr) {
          Fail("refused with memory left");
          return;
        }
        Write(block);
      }
      operations_ += kOperationsPerTurn;
      running_[static_cast<size_t>(sched_getcpu()) % running_.size()] = thread;
      {
        Cell& cell = cells_[random() % kCellCount];
        const std::lock_guard lock(cell.mutex);
        std::swap(cell.block, blocks[random() % kBlocksPerThread]);
      }
      if (turn % 16 == 0 && cpus_.size() > 1) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpus_[random() % cpus_.size()], &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        ++moves_;
      }
    }
    for (Block& block : blocks) Free(&block, 0);
  }

  // A child is served by malloc, and its parent's blocks are none of its own, whatever the threads were doing.
  void ForkInTheMiddle() {
    void* const of_parent = pool_->Allocate(1024);
    const pid_t child = fork();
    if (child == 0) {
      void* const mine = pool_->Allocate(1024);
      if (mine == nullptr || pool_->Owns(mine)) _exit(1);
      std::memset(mine, 1, 1024);
      pool_->Deallocate(of_parent);
      pool_->Deallocate(mine);
      const PoolStats stats = pool_->Stats();
      _exit(stats.child_deallocate_count == 1 && stats.child_allocate_count == 1 ? 0 : 2);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
      Fail("a forked child ended with status " + std::to_string(status));
    }
    pool_->Deallocate(of_parent);
    ++result_.fork_count;
  }

  const PreemptionPlan plan_;
  std::shared_ptr<Pool> pool_;
  std::optional<SlabCache> cache_;
  std::vector<int> cpus_;
  std::array<Cell, kCellCount> cells_;
  std::array<std::atomic<size_t>, 64> running_{};  // by CPU id modulo: the thread that was there last
  std::atomic<uint64_t> operations_{0};
  std::atomic<uint64_t> moves_{0};
  std::atomic<bool> stop_{false};
  std::mutex wrong_mutex_;
  PreemptionResult result_;
};

}  // namespace

PreemptionResult PreemptionStress(const PreemptionPlan& plan) { return Stress(plan).Run(); }

}  // namespace hugepool::testing
