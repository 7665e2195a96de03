// The trace of an engine's allocations: AllocatorOptions::record_sizes writes it, `kv_bench --replay_sizes` plays it on any allocator.
//
// Shape      kTraceMagic, then events. An event is a number, 7 bits a byte, the lowest first; the last byte is below 128.
//              2 × bytes      a block of so many bytes was allocated; blocks count from 0 in this order
//              2 × age + 1    a block was freed: of A blocks allocated so far it is number A − age
//            What follows the last whole event (of a process that was killed) is to be ignored
// Units      bytes as requested
// Threads    functions of their arguments
#ifndef HUGEPOOL_ALLOCATION_TRACE_H_
#define HUGEPOOL_ALLOCATION_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hugepool::rocksdb {

inline constexpr std::string_view kTraceMagic = "hugepool allocation trace 1\n";
inline constexpr size_t kTraceEventMostBytes = 10;

constexpr uint64_t TraceOfAllocation(uint64_t bytes) { return 2 * bytes; }
constexpr uint64_t TraceOfFree(uint64_t age) { return 2 * age + 1; }

// Writes the event, at most kTraceEventMostBytes. Returns the bytes written.
constexpr size_t EncodeTraceEvent(uint64_t event, char* to) {
  size_t count = 0;
  for (; event >= 128; event >>= 7) to[count++] = static_cast<char>(event | 128);
  to[count++] = static_cast<char>(event);
  return count;
}

// The bytes that the first event takes; 0 where it is not whole or longer than any.
constexpr size_t DecodeTraceEvent(std::string_view bytes, uint64_t* event) {
  *event = 0;
  for (size_t i = 0; i < bytes.size() && i < kTraceEventMostBytes; ++i) {
    const uint64_t byte = static_cast<unsigned char>(bytes[i]);
    *event |= (byte & 127) << (7 * i);
    if (byte < 128) return i + 1;
  }
  return 0;
}

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ALLOCATION_TRACE_H_
