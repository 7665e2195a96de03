#include "bench/numa_model/pool_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cache/cpu_cache.h"

namespace hugepool::bench {
namespace {

// As in cpu_cache.cc.
constexpr size_t kBatchMaxBytes = size_t{256} << 10;
constexpr size_t kBatchShare = 8;
constexpr size_t kHomeRow = 0;
constexpr size_t OutboxRow(size_t node) { return 1 + node; }

constexpr size_t kPointersPerLine = 8;
// Blocks in use for each CPU: enough that evictions meet all of them in any order.
constexpr size_t kLivePerCpu = 256;
// Misses of a CPU; with few nodes an outbox fills faster than depots find their level.
constexpr size_t kCycleLeast = 500;
// What comes from the arena at a time: a page, cut into slabs.
constexpr size_t kNewBytes = size_t{2} << 20;

double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

size_t Below(std::mt19937_64& random, size_t bound) {
  return std::min(static_cast<size_t>(Uniform(random) * static_cast<double>(bound)), bound - 1);
}

// The newest `count`, in their order.
void MoveNewest(std::vector<uint32_t>* from, size_t count, std::vector<uint32_t>* to) {
  to->insert(to->end(), from->end() - static_cast<ptrdiff_t>(count), from->end());
  from->resize(from->size() - count);
}

}  // namespace

size_t Load::BatchCount() const {
  const size_t bytes = std::min(kBatchMaxBytes, cache_bytes / kBatchShare);
  return std::clamp<size_t>(bytes / object_bytes, 1, internal::kBatchMaxCount);
}

double PoolFigures::LocksPerThousand() const {
  return 1000.0 * static_cast<double>(depots.all.acquired_count + bins.all.acquired_count) /
         static_cast<double>(std::max<uint64_t>(allocation_count, 1));
}

PoolModel::PoolModel(const Load& load, const Design& design, LockKind kind, const Costs& costs)
    : load_(load),
      design_(design),
      costs_(costs),
      batch_count_(load.BatchCount()),
      depots_per_node_(load.cpus_per_node / design.depot_cpus) {
  const size_t room = load_.cache_bytes / load_.object_bytes;
  const auto station = [&](size_t node, LockKind of) {
    return Station{ModelLock(clock_, of, costs_), Line{.node = node}};
  };
  for (size_t i = 0; i < load_.node_count * depots_per_node_; ++i) {
    const size_t node = i / depots_per_node_;
    if (i == 0 || !design_.one_lock) locks_.push_back(station(node, kind));
    if (i == 0 || (!design_.one_lock && i % depots_per_node_ == 0)) {
      const size_t count = design_.one_lock ? load_.node_count * room : room;
      // An atomic addition knows no sleep.
      limits_.push_back({station(node, LockKind::kQueue), static_cast<int64_t>(count)});
    }
    constexpr size_t kLineCount = internal::Depot::kShelfMaxCount / kPointersPerLine;
    shelves_.push_back({node, &locks_.back(), &limits_.back(), {}, std::vector<Line>(kLineCount, Line{.node = node})});
  }
  live_.resize(load_.node_count);
  for (size_t node = 0; node < load_.node_count; ++node) {
    bins_.push_back({station(node, kind), {}});
    while (live_[node].size() < kLivePerCpu * load_.cpus_per_node) NewSlab(node, &live_[node]);
    while (bins_[node].blocks.size() < load_.free_per_cpu * load_.cpus_per_node) NewSlab(node, &bins_[node].blocks);
  }
  for (size_t i = 0; i < load_.cpu_count(); ++i) {
    std::seed_seq seeds{load_.seed, uint64_t{i}};
    cpus_.push_back({.number = i,
                     .node = i / load_.cpus_per_node,
                     .group = i / load_.l3_cpus,
                     .rows = std::vector<Magazine>(1 + load_.node_count),
                     .spare_count = room,
                     .random = std::mt19937_64(seeds)});
  }
  counted_ = {};
}

void PoolModel::NewSlab(size_t node, Blocks* blocks) {
  for (size_t i = 0; i < std::max<size_t>(kNewBytes / load_.object_bytes, 1); ++i) {
    blocks->push_back(static_cast<Block>(homes_.size()));
    homes_.push_back(static_cast<uint32_t>(node));
  }
}

PoolFigures PoolModel::Run() {
  for (Cpu& cpu : cpus_) lives_.push_back(Live(cpu));
  for (Task& life : lives_) life.Start();
  const double duration_ns = load_.MissEveryNs() * static_cast<double>(load_.misses_per_cpu);
  const double warm_ns = 2 * CycleNs();
  clock_.RunUntil(warm_ns);
  StartFigures();
  clock_.RunUntil(warm_ns + duration_ns);
  PoolFigures figures = Figures();
  // Nobody has a block between two places then.
  stopping_ = true;
  clock_.RunUntil(INFINITY);
  return figures;
}

// In which an outbox fills when a CPU frees blocks of all nodes alike.
double PoolModel::CycleNs() const {
  return load_.MissEveryNs() * static_cast<double>(std::max(batch_count_ * load_.node_count, kCycleLeast));
}

Task PoolModel::Live(Cpu& cpu) {
  const double mean_ns = load_.MissEveryNs();
  // Or the outboxes of all CPUs would be full at the same time.
  co_await clock_.Delay(CycleNs() * Uniform(cpu.random));
  while (!stopping_) {
    co_await clock_.Delay(-mean_ns * std::log(1 - Uniform(cpu.random)));
    const double began_ns = clock_.now_ns();
    co_await Allocate(cpu);
    co_await Free(cpu, Evict(cpu));
    cpu.in_pool_ns += clock_.now_ns() - began_ns;
    ++cpu.miss_count;
  }
}

// Of a node by its share, one of its live blocks at random.
PoolModel::Block PoolModel::Evict(Cpu& cpu) {
  size_t node = cpu.node;
  if (load_.node_count > 1 && Uniform(cpu.random) < load_.remote_share) {
    node = (cpu.node + 1 + Below(cpu.random, load_.node_count - 1)) % load_.node_count;
  }
  while (live_[node].empty()) node = (node + 1) % load_.node_count;
  Blocks& live = live_[node];
  std::swap(live[Below(cpu.random, live.size())], live.back());
  const Block block = live.back();
  live.pop_back();
  return block;
}

Task PoolModel::Allocate(Cpu& cpu) {
  Blocks& own = cpu.rows[kHomeRow].blocks;
  if (own.empty()) co_await Refill(cpu);
  live_[cpu.node].push_back(own.back());
  own.pop_back();
}

// The block that the caller asked for lies on top of the magazine afterwards, even where that has no room for it.
Task PoolModel::Refill(Cpu& cpu) {
  bool cached = false;
  co_await Grow(cpu, kHomeRow, &cached);
  const size_t wanted = cached ? std::min(cpu.rows[kHomeRow].capacity, batch_count_) + 1 : 1;
  Blocks taken;
  co_await Take(cpu, wanted, &taken);
  if (taken.empty()) co_await TakeFromSlabs(cpu, wanted, &taken);
  const Block first = taken.front();
  Magazine& own = cpu.rows[kHomeRow];
  const size_t kept = std::min(taken.size() - 1, own.capacity - std::min(own.capacity, own.blocks.size()));
  own.blocks.insert(own.blocks.end(), taken.begin() + 1, taken.begin() + 1 + static_cast<ptrdiff_t>(kept));
  if (kept < taken.size() - 1) {
    const Blocks left(taken.begin() + 1 + static_cast<ptrdiff_t>(kept), taken.end());
    co_await Return(cpu, cpu.node, left);
  }
  own.blocks.push_back(first);
}

Task PoolModel::Free(Cpu& cpu, Block block) {
  const size_t node = HomeOf(block);
  if (node != cpu.node && !design_.batched) {
    const Blocks alone(1, block);
    co_await Return(cpu, node, alone);
    co_return;
  }
  const size_t row = node == cpu.node ? kHomeRow : OutboxRow(node);
  Magazine& magazine = cpu.rows[row];
  if (magazine.blocks.size() >= magazine.capacity) {
    bool room = false;
    co_await Grow(cpu, row, &room);
    if (magazine.blocks.size() >= magazine.capacity) {
      Blocks old;
      const size_t half = std::min((magazine.capacity + 1) / 2, batch_count_);
      const size_t most = row == kHomeRow ? half : batch_count_;
      MoveNewest(&magazine.blocks, room ? std::min(most, magazine.blocks.size()) : 0, &old);
      if (old.empty()) old.push_back(block);
      const bool keeps = old.front() != block;
      co_await Return(cpu, node, old);
      if (!keeps) co_return;
    }
  }
  magazine.blocks.push_back(block);
}

Task PoolModel::Grow(Cpu& cpu, size_t row, bool* has_room) {
  Magazine& magazine = cpu.rows[row];
  magazine.missed = true;
  *has_room = true;
  const size_t limit = row == kHomeRow ? internal::kMagazineMaxCount : batch_count_ + 1;
  const size_t first = std::clamp<size_t>(internal::kFirstRoomBytes / load_.object_bytes, 1, batch_count_);
  const size_t step = row == kHomeRow ? std::clamp(magazine.capacity / 2, first, batch_count_) : limit;
  if (magazine.capacity >= limit) co_return;
  const size_t wanted = std::min(limit - magazine.capacity, step);
  size_t paid = std::min(cpu.spare_count, wanted);
  cpu.spare_count -= paid;
  const bool steals = magazine.capacity == 0 || cpu.room_miss_count++ % internal::kMissesPerSteal == 0;
  if (paid < wanted && steals) {
    size_t stolen = 0;
    co_await Steal(cpu, row, wanted - paid, &stolen);
    paid += stolen;
  }
  if (paid != 0) magazine.had_room = true;
  magazine.capacity += paid;
  *has_room = magazine.capacity != 0;
}

Task PoolModel::Steal(Cpu& cpu, size_t row, size_t needed, size_t* got) {
  for (size_t left = 2 * cpu.rows.size() + 1; *got < needed;) {
    Magazine& victim = cpu.rows[cpu.hand];
    if (cpu.hand_passed || !victim.had_room) {
      if (--left == 0) break;
      cpu.hand = (cpu.hand + 1) % cpu.rows.size();
      cpu.hand_passed = false;
      continue;
    }
    cpu.hand_passed = true;
    const size_t number = cpu.hand;
    if (number == row || std::exchange(victim.missed, false)) continue;
    const size_t shrunk = std::min(needed - *got, victim.capacity);
    victim.capacity -= shrunk;
    *got += shrunk;
    while (victim.blocks.size() > victim.capacity) {
      Blocks old;
      MoveNewest(&victim.blocks, std::min(victim.blocks.size() - victim.capacity, internal::kBatchMaxCount), &old);
      co_await Return(cpu, number == kHomeRow ? cpu.node : number - 1, old);
    }
  }
}

// To the depot of their node, and what that has no room for to its slabs.
Task PoolModel::Return(Cpu& cpu, size_t node, const Blocks& blocks) {
  size_t put = 0;
  co_await Put(cpu, shelves_[ShelfFor(cpu, node)], blocks, &put);
  if (put < blocks.size()) co_await FreeToSlabs(cpu, node, blocks, put);
}

// The CPU's own, or the one with the same place on another node.
size_t PoolModel::ShelfFor(const Cpu& cpu, size_t node) const {
  return node * depots_per_node_ + cpu.number % load_.cpus_per_node / design_.depot_cpus;
}

double PoolModel::Touch(Line& line, const Cpu& cpu) {
  if (line.cpu == cpu.number) return 0;
  const Line before = std::exchange(line, Line{cpu.node, cpu.group, cpu.number});
  if (before.node != cpu.node) {
    ++counted_.crossed_lines;
    return costs_.line_remote_ns;
  }
  return before.group == cpu.group ? costs_.line_group_ns : costs_.line_node_ns;
}

double PoolModel::TouchShelf(Shelf& shelf, size_t first, size_t last, const Cpu& cpu) {
  double lines_ns = 0;
  double longest_ns = 0;
  for (size_t i = first / kPointersPerLine; i * kPointersPerLine < last; ++i) {
    const double line_ns = Touch(shelf.lines[i], cpu);
    lines_ns += line_ns;
    longest_ns = std::max(longest_ns, line_ns);
  }
  return std::max(longest_ns, lines_ns / costs_.lines_at_once) +
         static_cast<double>(last - first) * costs_.copy_pointer_ns;
}

Task PoolModel::AddTo(Cpu& cpu, Limit& limit, int64_t count) {
  limit.spare_count += count;
  co_await limit.count.lock.Acquire();
  co_await clock_.Delay(Touch(limit.count.line, cpu));
  limit.count.lock.Release();
}

// From the CPU's depot, and where that has none from the next one of the node that has some.
Task PoolModel::Take(Cpu& cpu, size_t count, Blocks* taken) {
  const size_t own = ShelfFor(cpu, cpu.node) % depots_per_node_;
  for (size_t i = 0; i < depots_per_node_ && taken->empty(); ++i) {
    co_await TakeFrom(cpu, shelves_[cpu.node * depots_per_node_ + (own + i) % depots_per_node_], count, taken);
  }
}

Task PoolModel::TakeFrom(Cpu& cpu, Shelf& shelf, size_t count, Blocks* taken) {
  // The hint whether there is something lies beside the lock.
  co_await clock_.Delay(Touch(shelf.lock->line, cpu));
  if (shelf.blocks.empty()) co_return;
  co_await shelf.lock->lock.Acquire();
  const size_t held = shelf.blocks.size();
  const size_t moved = std::min(count, held);
  MoveNewest(&shelf.blocks, moved, taken);
  co_await clock_.Delay(costs_.lock_ns + Touch(shelf.lock->line, cpu) + TouchShelf(shelf, held - moved, held, cpu));
  co_await clock_.Delay(shelf.lock->lock.Release());
  if (moved != 0) co_await AddTo(cpu, *shelf.limit, static_cast<int64_t>(moved));
}

Task PoolModel::Put(Cpu& cpu, Shelf& shelf, const Blocks& blocks, size_t* put) {
  Limit& limit = *shelf.limit;
  // Full: a look and no change.
  if (limit.spare_count <= 0) {
    co_await clock_.Delay(Touch(limit.count.line, cpu));
    co_return;
  }
  const int64_t wanted = static_cast<int64_t>(blocks.size());
  const size_t paid = static_cast<size_t>(std::min(limit.spare_count, wanted));
  co_await AddTo(cpu, limit, -wanted);
  co_await shelf.lock->lock.Acquire();
  const size_t held = shelf.blocks.size();
  *put = std::min(paid, internal::Depot::kShelfMaxCount - held);
  shelf.blocks.insert(shelf.blocks.end(), blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(*put));
  co_await clock_.Delay(costs_.lock_ns + Touch(shelf.lock->line, cpu) + TouchShelf(shelf, held, held + *put, cpu));
  co_await clock_.Delay(shelf.lock->lock.Release());
  ++counted_.put_count;
  counted_.put_objects += *put;
  if (shelf.node != cpu.node) counted_.crossed_pointers += *put;
  if (*put < blocks.size()) co_await AddTo(cpu, limit, wanted - static_cast<int64_t>(*put));
}

// The blocks come from as many slabs, whose books lie in the memory of their node: nobody looked at them for long.
double PoolModel::SlabNs(const Cpu& cpu, size_t node, size_t count) {
  const bool crosses = node != cpu.node;
  if (crosses) counted_.crossed_lines += count;
  const double line_ns = crosses ? costs_.line_remote_ns : costs_.line_node_ns;
  const double blocks = static_cast<double>(count);
  return costs_.lock_ns + blocks * costs_.slab_object_ns + std::max(1.0, blocks / costs_.lines_at_once) * line_ns;
}

Task PoolModel::TakeFromSlabs(Cpu& cpu, size_t count, Blocks* taken) {
  Bin& bin = bins_[cpu.node];
  co_await bin.lock.lock.Acquire();
  while (bin.blocks.empty()) {
    co_await clock_.Delay(costs_.lock_ns + Touch(bin.lock.line, cpu));
    co_await clock_.Delay(bin.lock.lock.Release());
    // A page is populated with no lock held.
    co_await clock_.Delay(costs_.new_slab_ns);
    co_await bin.lock.lock.Acquire();
    ++counted_.new_slab_count;
    NewSlab(cpu.node, &bin.blocks);
  }
  const size_t moved = std::min(count, bin.blocks.size());
  MoveNewest(&bin.blocks, moved, taken);
  counted_.from_slabs += moved;
  co_await clock_.Delay(Touch(bin.lock.line, cpu) + SlabNs(cpu, cpu.node, moved));
  co_await clock_.Delay(bin.lock.lock.Release());
}

Task PoolModel::FreeToSlabs(Cpu& cpu, size_t node, const Blocks& blocks, size_t from) {
  Bin& bin = bins_[node];
  const size_t count = blocks.size() - from;
  co_await bin.lock.lock.Acquire();
  bin.blocks.insert(bin.blocks.end(), blocks.begin() + static_cast<ptrdiff_t>(from), blocks.end());
  counted_.to_slabs += count;
  if (node != cpu.node) counted_.crossed_pointers += count;
  co_await clock_.Delay(Touch(bin.lock.line, cpu) + SlabNs(cpu, node, count));
  co_await clock_.Delay(bin.lock.lock.Release());
}

void PoolModel::StartFigures() {
  counted_ = {};
  started_ns_ = clock_.now_ns();
  for (Cpu& cpu : cpus_) {
    cpu.in_pool_ns = 0;
    cpu.miss_count = 0;
  }
  for (Station& lock : locks_) lock.lock.StartFigures();
  for (Limit& limit : limits_) limit.count.lock.StartFigures();
  for (Bin& bin : bins_) bin.lock.lock.StartFigures();
}

PoolFigures PoolModel::Figures() const {
  PoolFigures figures = counted_;
  figures.duration_ns = clock_.now_ns() - started_ns_;
  double in_pool_ns = 0;
  for (const Cpu& cpu : cpus_) {
    figures.allocation_count += cpu.miss_count;
    in_pool_ns += cpu.in_pool_ns;
    figures.magazine_bytes += cpu.rows[kHomeRow].blocks.size() * load_.object_bytes;
    for (size_t row = 1; row < cpu.rows.size(); ++row) {
      figures.outbox_bytes += cpu.rows[row].blocks.size() * load_.object_bytes;
    }
  }
  figures.pool_ns = in_pool_ns / static_cast<double>(std::max<uint64_t>(figures.allocation_count, 1));
  figures.lookups_per_second =
      static_cast<double>(figures.allocation_count) / (1 - load_.hit_ratio) / figures.duration_ns * 1e9;
  for (const Shelf& shelf : shelves_) figures.depot_bytes += shelf.blocks.size() * load_.object_bytes;
  const auto add = [&](const ModelLock& lock, size_t count, PoolFigures::Station* station) {
    const LockFigures of = lock.Figures();
    station->all.Add(of);
    station->mean_use += of.held_ns / figures.duration_ns / static_cast<double>(count);
    station->most_use = std::max(station->most_use, of.held_ns / figures.duration_ns);
  };
  for (const Station& lock : locks_) add(lock.lock, locks_.size(), &figures.depots);
  for (const Limit& limit : limits_) add(limit.count.lock, limits_.size(), &figures.counts);
  for (const Bin& bin : bins_) add(bin.lock.lock, bins_.size(), &figures.bins);
  return figures;
}

std::string PoolModel::Check() const {
  std::vector<int> seen(homes_.size(), 0);
  for (const Blocks& live : live_) {
    for (const Block block : live) ++seen[block];
  }
  std::string wrong;
  const auto look = [&](const Blocks& blocks, size_t node, const char* where) {
    for (const Block block : blocks) {
      ++seen[block];
      if (HomeOf(block) != node)
        wrong = fmt::format("block {} of node {} lies in {} of node {}", block, HomeOf(block), where, node);
    }
  };
  for (const Cpu& cpu : cpus_) {
    size_t capacity = cpu.spare_count;
    for (size_t row = 0; row < cpu.rows.size(); ++row) {
      look(cpu.rows[row].blocks, row == kHomeRow ? cpu.node : row - 1, "a magazine");
      if (cpu.rows[row].blocks.size() > cpu.rows[row].capacity)
        wrong = fmt::format("CPU {}: more than there is room for", cpu.number);
      capacity += cpu.rows[row].capacity;
    }
    if (capacity != load_.cache_bytes / load_.object_bytes)
      wrong = fmt::format("CPU {}: the budget does not add up", cpu.number);
  }
  for (const Shelf& shelf : shelves_) look(shelf.blocks, shelf.node, "a depot");
  for (size_t node = 0; node < bins_.size(); ++node) look(bins_[node].blocks, node, "the slabs");
  for (size_t block = 0; block < seen.size(); ++block) {
    if (seen[block] != 1) wrong = fmt::format("block {} is in {} places", block, seen[block]);
  }
  int64_t room = 0;
  for (const Limit& limit : limits_) room += limit.spare_count;
  for (const Shelf& shelf : shelves_) room += static_cast<int64_t>(shelf.blocks.size());
  if (room != static_cast<int64_t>(load_.node_count * (load_.cache_bytes / load_.object_bytes))) {
    wrong = "the depots' limits do not add up";
  }
  return wrong;
}

}  // namespace hugepool::bench
