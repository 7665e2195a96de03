#include "hugepool/pool_stats.h"

#include <algorithm>

#include "hugepool/pool_options.h"

namespace hugepool {
namespace {

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

constexpr size_t kMaxTextClasses = 5;

// The classes that take most, the largest first; empty ones are left out, and how many the rest are is said.
std::string TextOfClasses(std::vector<ClassStats> classes) {
  std::erase_if(classes, [](const ClassStats& c) { return c.slab_bytes == 0; });
  std::stable_sort(classes.begin(), classes.end(),
                   [](const ClassStats& a, const ClassStats& b) { return a.slab_bytes > b.slab_bytes; });
  std::string text;
  for (size_t i = 0; i < std::min(classes.size(), kMaxTextClasses); ++i) {
    const ClassStats& c = classes[i];
    text += "  class " + std::to_string(c.object_bytes) + " on node " + std::to_string(c.node_id) + ": " +
            FormatBytes(c.slab_bytes) + " in " + std::to_string(c.slab_count) + " slabs, used " +
            std::to_string(c.used_count) + ", of which cached " + std::to_string(c.cached_count) + "\n";
  }
  if (classes.size() > kMaxTextClasses) {
    text += "  and " + std::to_string(classes.size() - kMaxTextClasses) + " smaller classes\n";
  }
  return text;
}

}  // namespace

std::string PoolStats::ToText() const {
  std::string text = "pool '" + name + "': huge_pages=" + backing + " page=" + FormatBytes(page_bytes) +
                     " placement=" + placement + " cache=" + cache_mode + "\n  capacity " + MiB(capacity_bytes) +
                     ", committed " + MiB(committed_bytes) + ", metadata " + FormatBytes(metadata_bytes) +
                     ", allocated " + MiB(allocated_bytes) + " in " + std::to_string(allocated_count) +
                     " blocks, cached " + FormatBytes(cached_bytes) + ", piled " + FormatBytes(piled_bytes) +
                     ", failed " + std::to_string(failed_count) + "\n";
  for (const NodeStats& node : nodes) {
    text += "  node " + std::to_string(node.node_id) + ":";
    for (size_t i = 0; i < kBackingCount; ++i) {
      text += std::string(" ") + hugepool::ToString(static_cast<Backing>(i)) + " " + MiB(node.committed_bytes[i]) +
              " (refused " + std::to_string(node.refused_count[i]) + ")";
    }
    text += ", used " + MiB(node.used_bytes) + ", empty " + MiB(node.empty_bytes) + ", draining " +
            MiB(node.draining_bytes) + ", degraded " + MiB(node.degraded_bytes) + ", unverified " +
            MiB(node.unverified_bytes) + ", departures " + std::to_string(node.departure_count) + ", handed over " +
            std::to_string(node.handed_over_block_count) + " in " + std::to_string(node.hand_over_count) +
            " batches, misplaced " + std::to_string(node.misplaced_count) + "\n";
  }
  text += TextOfClasses(classes);
  const auto counted = [&text](const char* what, uint64_t count) {
    if (count != 0) text += std::string("  ") + what + " " + std::to_string(count) + "\n";
  };
  counted("size classes learned:", learned_class_count);
  if (pressure_event_count != 0) {
    text += "  trimmed under pressure: " + FormatBytes(pressure_trimmed_bytes) + " at " +
            std::to_string(pressure_event_count) + " events\n";
  }
  counted("mbind refused:", refused_bind_count);
  counted("move_pages refused:", refused_locate_count);
  counted("pages that could not be given back:", refused_give_back_count);
  counted("sequences started anew:", aborted_sequence_count);
  counted("allocations of a forked child:", child_allocate_count);
  counted("frees of a forked child ignored:", child_deallocate_count);
  return text;
}

}  // namespace hugepool
