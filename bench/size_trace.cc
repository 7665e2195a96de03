#include "bench/size_trace.h"

#include <fmt/format.h>
#include <hugepool/allocation_trace.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "bench/process_memory.h"
#include "bench/text_table.h"

namespace hugepool::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kBlockMostBytes = uint64_t{1} << 40;
constexpr size_t kShownSizes = 12;

}  // namespace

std::optional<SizeTrace> ReadSizeTrace(const std::string& path, std::string* problem) {
  const std::string file = ReadTextFile(path);
  const auto fail = [&](const std::string& what) {
    *problem = fmt::format("--replay_sizes={}: {}", path, what);
    return std::nullopt;
  };
  std::string_view left = file;
  if (!left.starts_with(rocksdb::kTraceMagic)) {
    return fail(
        "cannot be read or is no trace. Record one: kv_bench --record_sizes FILE, or the allocator's option "
        "record_sizes");
  }
  left.remove_prefix(rocksdb::kTraceMagic.size());
  SizeTrace trace;
  std::vector<uint64_t> sizes;  // of each block; UINT64_MAX once it is freed
  uint64_t live_bytes = 0, live_count = 0;
  while (!left.empty()) {
    const size_t at = file.size() - left.size();
    uint64_t event = 0;
    const size_t taken = rocksdb::DecodeTraceEvent(left, &event);
    if (taken == 0 && left.size() < rocksdb::kTraceEventMostBytes) break;  // cut off
    if (taken == 0) return fail(fmt::format("byte {}: an event that is longer than any", at));
    left.remove_prefix(taken);
    const uint64_t value = event / 2;
    if (event % 2 == 0) {
      if (value > kBlockMostBytes) return fail(fmt::format("byte {}: a block of {} bytes", at, value));
      sizes.push_back(value);
      ++trace.counts[value];
      live_bytes += value;
      ++live_count;
      if (live_bytes > trace.most_live_bytes) {
        trace.most_live_bytes = live_bytes;
        trace.peak_event = trace.events.size() + 1;
      }
      trace.most_live_count = std::max(trace.most_live_count, live_count);
    } else {
      const bool is_live = value >= 1 && value <= sizes.size() && sizes[sizes.size() - value] != UINT64_MAX;
      if (!is_live) return fail(fmt::format("byte {}: a free of a block that is not live", at));
      live_bytes -= std::exchange(sizes[sizes.size() - value], UINT64_MAX);
      --live_count;
    }
    trace.events.push_back(event);
  }
  if (sizes.empty()) return fail("has no allocation in it");
  trace.allocation_count = sizes.size();
  return trace;
}

std::string FormatSizes(const SizeTrace& trace) {
  std::vector<std::pair<uint64_t, uint64_t>> sizes(trace.counts.begin(), trace.counts.end());  // size, blocks
  double all_bytes = 0;
  for (const auto& [bytes, count] : sizes) all_bytes += static_cast<double>(bytes) * static_cast<double>(count);
  std::sort(sizes.begin(), sizes.end(),
            [](const auto& left, const auto& right) { return left.first * left.second > right.first * right.second; });
  std::vector<Cells> lines = {{"size", "blocks", "share of all bytes"}};
  double shown_bytes = 0;
  for (size_t i = 0; i < std::min(sizes.size(), kShownSizes); ++i) {
    const double bytes = static_cast<double>(sizes[i].first) * static_cast<double>(sizes[i].second);
    shown_bytes += bytes;
    lines.push_back({fmt::format("{} B", sizes[i].first), fmt::format("{}", sizes[i].second),
                     fmt::format("{:.1f} %", bytes / std::max(1.0, all_bytes) * 100)});
  }
  if (sizes.size() > kShownSizes) {
    lines.push_back({fmt::format("{} more", sizes.size() - kShownSizes), "",
                     fmt::format("{:.1f} %", (all_bytes - shown_bytes) / std::max(1.0, all_bytes) * 100)});
  }
  return Align(lines, 3);
}

SizePlayer::SizePlayer(const SizeTrace& trace, ::rocksdb::MemoryAllocator* allocator)
    : trace_(trace), allocator_(allocator), blocks_(trace.allocation_count) {}

bool SizePlayer::Free(uint64_t number) {
  const Block block = std::exchange(blocks_[number], {});
  const char tag = TagOf(number);
  const bool is_right = block.bytes == 0 || (block.address[0] == tag && block.address[block.bytes - 1] == tag);
  ++verified_count_;
  allocator_->Deallocate(block.address);
  return is_right;
}

std::string SizePlayer::PlayUpTo(size_t event_count) {
  uint64_t number = 0;
  for (size_t i = 0; i < event_count; ++i) {
    const uint64_t event = trace_.events[i];
    const uint64_t value = event / 2;
    if (event % 2 != 0) {
      if (!Free(number - value)) return fmt::format("block {} was overwritten by another", number - value);
      continue;
    }
    const bool is_timed = number % kSamplePeriod == 0;
    const auto before = is_timed ? Clock::now() : Clock::time_point();
    void* const address = allocator_->Allocate(value);
    if (is_timed) {
      latency_.Record(
          static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - before).count()));
    }
    if (address == nullptr) return fmt::format("no memory for a block of {} bytes", value);
    std::memset(address, TagOf(number), value);
    blocks_[number++] = {static_cast<char*>(address), value};
  }
  return "";
}

void SizePlayer::FreeRest() {
  for (uint64_t number = 0; number < blocks_.size(); ++number) {
    if (blocks_[number].address != nullptr) Free(number);
  }
}

LatencyHistogram SizePlayer::TakeLatency() { return std::exchange(latency_, {}); }

}  // namespace hugepool::bench
