// SizeTrace: a recorded trace of allocations (hugepool/allocation_trace.h), read, summed up, and played on an allocator.
//
// Shape      the events as recorded; SizePlayer plays them one after the other on one thread, whatever threads they came from
// Units      bytes as requested
// Threads    a trace is constant; a player has one owner
// Errors     a file that is no trace, an event that cannot be: a sentence with the place in the file. What is cut off at the end of
//            the file is left out: the process that wrote it may have been killed
#ifndef HUGEPOOL_BENCH_SIZE_TRACE_H_
#define HUGEPOOL_BENCH_SIZE_TRACE_H_

#include <rocksdb/memory_allocator.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/latency_histogram.h"

namespace hugepool::bench {

struct SizeTrace {
  std::vector<uint64_t> events;
  uint64_t allocation_count = 0;
  uint64_t most_live_bytes = 0;
  uint64_t most_live_count = 0;
  size_t peak_event = 0;                // most bytes are live after so many events
  std::map<uint64_t, uint64_t> counts;  // allocations by size
};

// Nothing and *problem filled on failure.
std::optional<SizeTrace> ReadSizeTrace(const std::string& path, std::string* problem);

// Which sizes there are: the dozen that most bytes were asked for with, and the rest.
std::string FormatSizes(const SizeTrace& trace);

class SizePlayer {
 public:
  SizePlayer(const SizeTrace& trace, ::rocksdb::MemoryAllocator* allocator);
  ~SizePlayer() { FreeRest(); }
  SizePlayer(const SizePlayer&) = delete;
  SizePlayer& operator=(const SizePlayer&) = delete;

  // All events, or up to the peak, from the first on, with nothing live before. A block is written whole when it is allocated, as an engine does that loads a
  // block into it, and its ends are compared when it is freed. Every kSamplePeriod-th allocation, by itself, is timed.
  // "" or what was wrong.
  std::string Play() { return PlayUpTo(trace_.events.size()); }
  std::string PlayToPeak() { return PlayUpTo(trace_.peak_event); }
  // What is left live.
  void FreeRest();

  uint64_t verified_count() const { return verified_count_; }
  LatencyHistogram TakeLatency();

  static constexpr uint64_t kSamplePeriod = 8;

 private:
  struct Block {
    char* address = nullptr;
    uint64_t bytes = 0;
  };
  std::string PlayUpTo(size_t event_count);
  bool Free(uint64_t number);
  static char TagOf(uint64_t number) { return static_cast<char>(number * 0x9e3779b97f4a7c15 >> 56); }

  const SizeTrace& trace_;
  ::rocksdb::MemoryAllocator* const allocator_;
  std::vector<Block> blocks_;  // by number
  uint64_t verified_count_ = 0;
  LatencyHistogram latency_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_SIZE_TRACE_H_
