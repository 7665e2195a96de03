#include "bench/workload.h"

#include <fmt/format.h>

namespace hugepool::bench {
namespace {

// One table for all: get, multi-get, scan, update, insert, read-modify-write.
std::vector<Workload> MakeWorkloads() {
  using enum Distribution;
  return {
      {.name = "readrandom", .description = "Get of a uniform record", .percent = {100, 0, 0, 0, 0, 0}},
      {.name = "multireadrandom",
       .description = fmt::format("MultiGet of {} uniform records", kMultiGetCount),
       .percent = {0, 100, 0, 0, 0, 0}},
      {.name = "seekrandom",
       .description = "Seek to a uniform record and read it and the nine behind it",
       .percent = {0, 0, 100, 0, 0, 0},
       .scan_least = 10,
       .scan_most = 10},
      {.name = "readwhilewriting",
       .description = "Get of a uniform record, while one more thread updates at --write_rate",
       .percent = {100, 0, 0, 0, 0, 0},
       .paced_writer = true},
      {.name = "ycsb-a",
       .description = "50 % Get, 50 % update; zipf",
       .percent = {50, 0, 0, 50, 0, 0},
       .distribution = kScrambledZipf},
      {.name = "ycsb-b",
       .description = "95 % Get, 5 % update; zipf",
       .percent = {95, 0, 0, 5, 0, 0},
       .distribution = kScrambledZipf},
      {.name = "ycsb-c", .description = "Get; zipf", .percent = {100, 0, 0, 0, 0, 0}, .distribution = kScrambledZipf},
      {.name = "ycsb-d",
       .description = "95 % Get, 5 % insert; the latest records",
       .percent = {95, 0, 0, 0, 5, 0},
       .distribution = kLatest},
      {.name = "ycsb-e",
       .description = "95 % scan of 1 to 100 records, 5 % insert; zipf",
       .percent = {0, 0, 95, 0, 5, 0},
       .distribution = kScrambledZipf,
       .scan_least = 1,
       .scan_most = 100},
      {.name = "ycsb-f",
       .description = "50 % Get, 50 % read-modify-write; zipf",
       .percent = {50, 0, 0, 0, 0, 50},
       .distribution = kScrambledZipf},
  };
}

}  // namespace

bool Workload::writes() const {
  const auto share = [&](Operation operation) { return percent[static_cast<size_t>(operation)]; };
  return paced_writer ||
         share(Operation::kUpdate) + share(Operation::kInsert) + share(Operation::kReadModifyWrite) != 0;
}

const std::vector<Workload>& Workloads() {
  static const std::vector<Workload> workloads = MakeWorkloads();
  return workloads;
}

const Workload* FindWorkload(const std::string& name) {
  for (const Workload& workload : Workloads()) {
    if (workload.name == name) return &workload;
  }
  return nullptr;
}

std::string WorkloadNames() {
  std::string names;
  for (const Workload& workload : Workloads()) names += (names.empty() ? "" : ", ") + workload.name;
  return names;
}

}  // namespace hugepool::bench
