// PoolModel: the pool's cache floor on a machine of many nodes, under the load of a block cache, in simulated time.
//
// Shape      a CPU looks blocks up; each miss allocates a block on its own node and frees one, whose home is another node
//            with the probability remote_share. What then moves between magazines, outboxes, depots and slabs, in which
//            batches and within which budget, repeats CpuCache and Depot for one size class (placement local, nodes
//            with room). Of time it knows locks, copies of pointers, and cache lines that move between CPUs: each line
//            of a shelf, each lock and each depot's count of bytes remembers who touched it last.
// Units      objects; nanoseconds; *_bytes are bytes
// Threads    one owner; the same options and seed give the same figures
// Invariant  every block is in one place: live, in one magazine, outbox or shelf, or in its node's slabs
// Not in it  several size classes, a full node (spills), draining, threads that move or are preempted, lines that leave
//            a cache because others need the room, links between nodes that are busy, the time that a lookup spends on
//            the block itself
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_POOL_MODEL_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_POOL_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/numa_model/clock.h"
#include "bench/numa_model/costs.h"
#include "bench/numa_model/model_lock.h"

namespace hugepool::bench {

// How blocks get from CPU to CPU.
struct Design {
  size_t depot_cpus = 64;  // CPUs that share a depot; divides cpus_per_node
  bool batched = true;     // false: a block of another node goes to that node's depot at once, alone
  bool one_lock = false;   // one lock and one limit for all depots of the machine
};

struct Load {
  size_t node_count = 2;
  size_t cpus_per_node = 64;
  size_t l3_cpus = 8;               // CPUs that share an L3 cache, a group; divides cpus_per_node
  double lookups_per_second = 1e6;  // of a CPU that never waits for the pool
  double hit_ratio = 0.95;
  double remote_share = 0.5;
  size_t object_bytes = 4096;
  size_t cache_bytes = size_t{2} << 20;  // of a CPU, and of the depots of a node
  size_t misses_per_cpu = 1000;          // that are counted, if the pool took no time
  size_t free_per_cpu = 512;             // blocks in the slabs at the start, for each CPU
  uint64_t seed = 1;                     // below 2^32

  size_t cpu_count() const { return node_count * cpus_per_node; }
  size_t BatchCount() const;
  // From one miss of a CPU to its next, if the pool took no time.
  double MissEveryNs() const { return 1e9 / (lookups_per_second * (1 - hit_ratio)); }
};

struct PoolFigures {
  double duration_ns = 0;
  uint64_t allocation_count = 0;
  double lookups_per_second = 0;  // of all CPUs together
  double pool_ns = 0;             // what an allocation and a free take, beyond the fast path
  // Use: the share of the time that it was held, of all together and of the busiest.
  struct Station {
    LockFigures all;
    double mean_use = 0;
    double most_use = 0;
  };
  Station depots;
  Station counts;  // of bytes in depots: an atomic, which one CPU changes at a time
  Station bins;
  uint64_t crossed_pointers = 0;
  uint64_t crossed_lines = 0;
  uint64_t put_count = 0;  // batches into depots, and their objects
  uint64_t put_objects = 0;
  uint64_t from_slabs = 0;  // objects
  uint64_t to_slabs = 0;
  uint64_t new_slab_count = 0;
  // At the end of the time.
  uint64_t magazine_bytes = 0;
  uint64_t outbox_bytes = 0;
  uint64_t depot_bytes = 0;

  double LocksPerThousand() const;
};

class PoolModel {
 public:
  PoolModel(const Load& load, const Design& design, LockKind kind, const Costs& costs);

  // Once.
  PoolFigures Run();
  // After Run: what is wrong with where the blocks are; "" when every one is in one place.
  std::string Check() const;

 private:
  using Block = uint32_t;
  using Blocks = std::vector<Block>;

  // Who touched a cache line last: a CPU, or nobody and it is in the memory of that node.
  struct Line {
    size_t node = 0;
    size_t group = SIZE_MAX;
    size_t cpu = SIZE_MAX;
  };
  struct Magazine {
    Blocks blocks;
    size_t capacity = 0;
    bool had_room = false;
    bool missed = false;
  };
  struct Cpu {
    size_t number;
    size_t node;
    size_t group;                // that shares its L3 cache, of the machine
    std::vector<Magazine> rows;  // 0: its own; 1 + node: outboxes
    size_t spare_count;
    size_t hand = 0;
    bool hand_passed = false;  // this row already
    double in_pool_ns = 0;
    uint64_t miss_count = 0;       // of the block cache
    uint32_t room_miss_count = 0;  // of magazines
    std::mt19937_64 random;
  };
  // A lock, or an atomic count, and the line in which it lies.
  struct Station {
    ModelLock lock;
    Line line;
  };
  // What the depots of a node hold together; of all nodes in the design with one lock.
  struct Limit {
    Station count;
    int64_t spare_count;
  };
  struct Shelf {
    size_t node;
    Station* lock;
    Limit* limit;
    Blocks blocks;
    std::vector<Line> lines;
  };
  struct Bin {
    Station lock;
    Blocks blocks;
  };

  Task Live(Cpu& cpu);
  Task Allocate(Cpu& cpu);
  Task Free(Cpu& cpu, Block block);
  Task Refill(Cpu& cpu);
  Task Grow(Cpu& cpu, size_t row, bool* has_room);
  Task Steal(Cpu& cpu, size_t row, size_t needed, size_t* got);
  Task Return(Cpu& cpu, size_t node, const Blocks& blocks);
  Task Take(Cpu& cpu, size_t count, Blocks* taken);
  Task TakeFrom(Cpu& cpu, Shelf& shelf, size_t count, Blocks* taken);
  Task Put(Cpu& cpu, Shelf& shelf, const Blocks& blocks, size_t* put);
  Task AddTo(Cpu& cpu, Limit& limit, int64_t count);
  Task TakeFromSlabs(Cpu& cpu, size_t count, Blocks* taken);
  Task FreeToSlabs(Cpu& cpu, size_t node, const Blocks& blocks, size_t from);

  double CycleNs() const;
  double Touch(Line& line, const Cpu& cpu);
  double TouchShelf(Shelf& shelf, size_t first, size_t last, const Cpu& cpu);
  double SlabNs(const Cpu& cpu, size_t node, size_t count);
  size_t ShelfFor(const Cpu& cpu, size_t node) const;
  Block Evict(Cpu& cpu);
  size_t HomeOf(Block block) const { return homes_[block]; }
  void NewSlab(size_t node, Blocks* blocks);
  void StartFigures();
  PoolFigures Figures() const;

  const Load load_;
  const Design design_;
  const Costs costs_;
  const size_t batch_count_;
  const size_t depots_per_node_;
  Clock clock_;
  bool stopping_ = false;
  std::vector<Cpu> cpus_;
  std::deque<Station> locks_;
  std::deque<Limit> limits_;
  std::vector<Shelf> shelves_;   // node × depots of a node
  std::deque<Bin> bins_;         // by node
  std::vector<Blocks> live_;     // by node
  std::vector<uint32_t> homes_;  // by block
  double started_ns_ = 0;
  PoolFigures counted_;
  std::vector<Task> lives_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_POOL_MODEL_H_
