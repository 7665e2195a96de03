// Workload: what the clients of kv_bench do: how often which operation, on which records.
//
// YCSB's six have its published proportions and distributions. Values are of one size, and written whole.
//
// Units      percent of the operations
// Threads    constant
// Invariant  the percentages of a workload add up to 100
// Source     Cooper et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010; YCSB's files workloads/workload[a-f]
#ifndef HUGEPOOL_BENCH_WORKLOAD_H_
#define HUGEPOOL_BENCH_WORKLOAD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hugepool::bench {

enum class Operation : uint8_t { kGet, kMultiGet, kScan, kUpdate, kInsert, kReadModifyWrite };
inline constexpr size_t kOperationCount = 6;

// kScrambledZipf: ranks by Zipf's law with exponent 0.99 among 10^10, spread over the records by a hash, as YCSB does.
// kLatest: the same law on the order of insertion, the newest first.
enum class Distribution : uint8_t { kUniform, kScrambledZipf, kLatest };

struct Workload {
  std::string name;
  std::string description;
  std::array<unsigned, kOperationCount> percent;  // by Operation
  Distribution distribution = Distribution::kUniform;
  unsigned scan_least = 0;  // records of one scan
  unsigned scan_most = 0;
  bool paced_writer =
      false;  // beside the clients one more thread updates uniform records, --write_rate of them a second

  bool writes() const;
};

// Records that one MultiGet asks for.
inline constexpr unsigned kMultiGetCount = 32;

const std::vector<Workload>& Workloads();
// nullptr for a name that is none.
const Workload* FindWorkload(const std::string& name);
std::string WorkloadNames();  // "readrandom, seekrandom, …"

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_WORKLOAD_H_
