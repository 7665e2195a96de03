// Machine: on what the figures were taken. No figure is printed without it.
//
// Units      bytes
// Threads    a value
// Errors     what cannot be read stays empty or 0
#ifndef HUGEPOOL_BENCH_MACHINE_H_
#define HUGEPOOL_BENCH_MACHINE_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace hugepool::bench {

struct Machine {
  std::string cpu;  // model name
  unsigned cpu_count = 0;
  std::string kernel;
  unsigned node_count = 0;
  uint64_t memory_bytes = 0;
  uint64_t available_bytes = 0;
  std::string thp;  // always, madvise or never; "" without support
  uint64_t huge_pages = 0;
  uint64_t free_huge_pages = 0;
  std::string versions;      // hugepool, RocksDB, glibc, compiler
  bool can_compact = false;  // CompactMemory() works here

  bool thp_is_off() const { return thp.empty() || thp == "never"; }
  std::string ToText() const;  // one line
  nlohmann::ordered_json ToJson() const;
};

Machine ReadMachine();

// Moves the pages in use together, so that whoever allocates next gets physical memory in one piece and not the
// scattered single pages that others left. Needs root; false where it may not. Takes about 0.1 s.
bool CompactMemory();

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_MACHINE_H_
