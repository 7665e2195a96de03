#include "bench/numa_model/model_report.h"

#include <fmt/format.h>
#include <hugepool/version.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/text_table.h"

namespace hugepool::bench {
namespace {

double PerAllocation(uint64_t count, const PoolFigures& figures) {
  return static_cast<double>(count) / static_cast<double>(std::max<uint64_t>(figures.allocation_count, 1));
}

std::string Rate(double per_second) {
  if (per_second >= 1e9) return fmt::format("{:.2f} G", per_second / 1e9);
  return per_second >= 1e6 ? fmt::format("{:.2f} M", per_second / 1e6) : fmt::format("{:.0f} k", per_second / 1e3);
}

std::string Nanoseconds(double ns) {
  if (std::isinf(ns)) return "∞";
  return ns >= 10000 ? fmt::format("{:.1f} µs", ns / 1000) : fmt::format("{:.0f} ns", ns);
}

std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string Mebibytes(uint64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

double MeanBatch(const PoolFigures& figures) {
  return static_cast<double>(figures.put_objects) / static_cast<double>(std::max<uint64_t>(figures.put_count, 1));
}

double AskedOf(const Load& load) { return load.lookups_per_second * static_cast<double>(load.cpu_count()); }

Cells CellsOf(const ModelRow& row) {
  const PoolFigures& mutex = row.mutex;
  const LockFigures& waits = mutex.depots.all;
  const Bottleneck bottleneck = BottleneckOf(row);
  return {fmt::format("{}", row.load.node_count),
          row.design,
          Rate(mutex.lookups_per_second),
          Percent(mutex.lookups_per_second / AskedOf(row.load)),
          Percent(row.paper.use),
          Percent(row.queue.depots.mean_use),
          Nanoseconds(row.paper.wait_ns),
          Nanoseconds(row.queue.depots.all.MeanWaitNs()),
          Nanoseconds(waits.MeanWaitNs()),
          Nanoseconds(waits.waits.QuantileNs(0.99)),
          Nanoseconds(waits.longest_ns),
          fmt::format("{:.1f}", mutex.LocksPerThousand()),
          Nanoseconds(mutex.pool_ns),
          fmt::format("{:.2f}", PerAllocation(mutex.crossed_pointers, mutex)),
          fmt::format("{:.2f}", PerAllocation(mutex.crossed_lines, mutex)),
          fmt::format("{:.0f}", MeanBatch(mutex)),
          Percent(PerAllocation(mutex.from_slabs, mutex)),
          Mebibytes(mutex.outbox_bytes),
          Mebibytes(mutex.depot_bytes),
          fmt::format("{} {}", bottleneck.name, Rate(bottleneck.lookups_per_second))};
}

std::string CostText(const ModelOptions& options, bool measured) {
  std::string text;
  for (const CostField& field : kCostFields) {
    if (field.measured != measured) continue;
    text += fmt::format("{}{} {:g}", text.empty() ? "" : ", ", field.name, options.costs.*field.value);
  }
  return text;
}

nlohmann::ordered_json ToJson(const PoolFigures::Station& station) {
  return {{"mean_use", station.mean_use},
          {"most_use", station.most_use},
          {"acquired_count", station.all.acquired_count},
          {"waited_count", station.all.waited_count},
          {"mean_wait_ns", station.all.MeanWaitNs()},
          {"p99_wait_ns", station.all.waits.QuantileNs(0.99)},
          {"longest_wait_ns", station.all.longest_ns}};
}

nlohmann::ordered_json ToJson(const PoolFigures& figures) {
  return {{"duration_ns", figures.duration_ns},
          {"allocation_count", figures.allocation_count},
          {"lookups_per_second", figures.lookups_per_second},
          {"pool_ns_per_allocation", figures.pool_ns},
          {"depot_locks", ToJson(figures.depots)},
          {"depot_counts", ToJson(figures.counts)},
          {"slab_locks", ToJson(figures.bins)},
          {"locks_per_thousand_allocations", figures.LocksPerThousand()},
          {"crossed_pointers_per_allocation", PerAllocation(figures.crossed_pointers, figures)},
          {"crossed_lines_per_allocation", PerAllocation(figures.crossed_lines, figures)},
          {"mean_batch_count", MeanBatch(figures)},
          {"from_slabs_share", PerAllocation(figures.from_slabs, figures)},
          {"to_slabs_share", PerAllocation(figures.to_slabs, figures)},
          {"new_slab_count", figures.new_slab_count},
          {"magazine_bytes", figures.magazine_bytes},
          {"outbox_bytes", figures.outbox_bytes},
          {"depot_bytes", figures.depot_bytes}};
}

}  // namespace

Bottleneck BottleneckOf(const ModelRow& row) {
  const std::pair<const char*, double> uses[] = {
      {"depot", row.queue.depots.mean_use}, {"count", row.queue.counts.mean_use}, {"slabs", row.queue.bins.mean_use}};
  const auto most = std::max_element(std::begin(uses), std::end(uses),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  // By the lookups that there were, not those asked for.
  const double per_cpu = row.queue.lookups_per_second / static_cast<double>(row.load.cpu_count());
  return {most->first, most->second > 0 ? per_cpu / most->second : INFINITY};
}

std::string FormatModelTable(const std::vector<ModelRow>& rows, const ModelOptions& options) {
  const Load& load = options.load;
  std::string text = fmt::format(
      "numa_model {}: a simulation, no measurement. {} CPUs a node, {} share an L3 cache; blocks of {} B in batches of "
      "{};\n"
      "hit ratio {:g}; {}; cache_bytes_per_cpu {} B; {} misses a CPU; seed {}.\n"
      "measured: {}\nassumed:  {}\n",
      HUGEPOOL_VERSION_STRING, load.cpus_per_node, load.l3_cpus, load.object_bytes, load.BatchCount(), load.hit_ratio,
      options.shared_cache ? "one cache for all nodes: an evicted block lies on any node"
                           : fmt::format("{:g} of evicted blocks lie on another node", load.remote_share),
      load.cache_bytes, load.misses_per_cpu, load.seed, CostText(options, true), CostText(options, false));
  for (const double rate : options.lookup_rates) {
    text += fmt::format("\nEach CPU asks for {} lookups/s:\n", Rate(rate));
    std::vector<Cells> lines = {{"nodes",   "design", "lookups/s", "of asked", "use, paper", "use",    "wait, paper",
                                 "in turn", "mutex",  "p99",       "longest",  "locks/1000", "pool",   "pointers",
                                 "lines",   "batch",  "slabs",     "outboxes", "depots",     "full at"}};
    for (const ModelRow& row : rows) {
      if (row.load.lookups_per_second == rate) lines.push_back(CellsOf(row));
    }
    text += Align(lines, 19);
  }
  text +=
      "\nuse: share of the time that a depot's lock is held. wait: mean for a depot's lock by formula (M/G/1), with a "
      "lock\n"
      "that serves in turn, and with glibc's mutex, whose p99 and longest follow; all columns from \"mutex\" on, "
      "lookups/s\n"
      "and their share of what was asked for are with the mutex. locks: of depots and slabs, for 1,000 allocations. "
      "pool:\n"
      "time in the pool's slow paths for an allocation and a free. pointers, lines: that cross between nodes, for an\n"
      "allocation. batch: objects in a depot's Put. slabs: allocations whose block came from the slabs. outboxes, "
      "depots:\n"
      "MiB that lie there. full at: what is used most (a depot's lock, its count of bytes, the lock of a node's "
      "slabs), and\n"
      "the lookups/s of each CPU at which that would be 100 %, if use grows as the rate does.\n";
  return text;
}

std::string WriteModelJson(const std::vector<ModelRow>& rows, const ModelOptions& options) {
  nlohmann::ordered_json costs;
  for (const CostField& field : kCostFields) {
    costs[field.name] = {{"value", options.costs.*field.value}, {"measured", field.measured}};
  }
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const ModelRow& row : rows) {
    const Bottleneck bottleneck = BottleneckOf(row);
    // JSON has no infinity; a lock that is asked too much has no mean wait.
    all.push_back({{"node_count", row.load.node_count},
                   {"design", row.design},
                   {"lookups_per_second_of_a_cpu", row.load.lookups_per_second},
                   {"remote_share", row.load.remote_share},
                   {"paper",
                    {{"use", row.paper.use},
                     {"mean_wait_ns", std::isinf(row.paper.wait_ns) ? nlohmann::ordered_json()
                                                                    : nlohmann::ordered_json(row.paper.wait_ns)}}},
                   {"in_turn", ToJson(row.queue)},
                   {"mutex", ToJson(row.mutex)},
                   {"bottleneck",
                    {{"name", bottleneck.name},
                     {"lookups_per_second_of_a_cpu", std::isinf(bottleneck.lookups_per_second)
                                                         ? nlohmann::ordered_json()
                                                         : nlohmann::ordered_json(bottleneck.lookups_per_second)}}}});
  }
  const Load& load = options.load;
  const nlohmann::ordered_json document = {{"program", "numa_model"},
                                           {"version", HUGEPOOL_VERSION_STRING},
                                           {"is_measurement", false},
                                           {"command", options.command},
                                           {"cpus_per_node", load.cpus_per_node},
                                           {"l3_cpus", load.l3_cpus},
                                           {"object_bytes", load.object_bytes},
                                           {"batch_count", load.BatchCount()},
                                           {"cache_bytes", load.cache_bytes},
                                           {"hit_ratio", load.hit_ratio},
                                           {"misses_per_cpu", load.misses_per_cpu},
                                           {"seed", load.seed},
                                           {"costs", costs},
                                           {"rows", all}};
  std::ofstream file(options.json_path, std::ios::trunc);
  file << document.dump(2) << "\n";
  file.close();
  return file ? ""
              : fmt::format("--json={}: cannot be written. Name a file in a folder that exists", options.json_path);
}

}  // namespace hugepool::bench
