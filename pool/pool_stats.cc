#include "hugepool/pool_stats.h"

#include "hugepool/pool_options.h"

namespace hugepool {
namespace {

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

std::string PoolStats::ToText() const {
  std::string text = "pool '" + name + "': huge_pages=" + backing + " placement=" + placement + " cache=" + cache_mode +
                     "\n  capacity " + MiB(capacity_bytes) + ", committed " + MiB(committed_bytes) + ", metadata " +
                     FormatBytes(metadata_bytes) + ", allocated " + MiB(allocated_bytes) + " in " +
                     std::to_string(allocated_count) + " blocks, cached " + FormatBytes(cached_bytes) + ", failed " +
                     std::to_string(failed_count) + "\n";
  for (const NodeStats& node : nodes) {
    text += "  node " + std::to_string(node.node_id) + ":";
    for (size_t i = 0; i < kBackingCount; ++i) {
      text += std::string(" ") + hugepool::ToString(static_cast<Backing>(i)) + " " + MiB(node.committed_bytes[i]) +
              " (refused " + std::to_string(node.refused_count[i]) + ")";
    }
    text += ", used " + MiB(node.used_bytes) + ", empty " + MiB(node.empty_bytes) + ", degraded " +
            MiB(node.degraded_bytes) + ", unverified " + MiB(node.unverified_bytes) + ", departures " +
            std::to_string(node.departure_count) + ", misplaced " + std::to_string(node.misplaced_count) + "\n";
  }
  const auto counted = [&text](const char* what, uint64_t count) {
    if (count != 0) text += std::string("  ") + what + " " + std::to_string(count) + "\n";
  };
  counted("mbind refused:", refused_bind_count);
  counted("move_pages refused:", refused_locate_count);
  counted("pages that could not be given back:", refused_give_back_count);
  counted("sequences started anew:", aborted_sequence_count);
  counted("allocations of a forked child:", child_allocate_count);
  counted("frees of a forked child ignored:", child_deallocate_count);
  return text;
}

}  // namespace hugepool
