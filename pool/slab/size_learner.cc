#include "slab/size_learner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace hugepool::internal {
namespace {

// Below this, classes stand 16 B apart already.
constexpr size_t kFromBytes = 128;
// What a class costs on each node, in slabs that are partly empty; and to begin with it: other slabs make way, and what is
// worth neither more nor less shall not come and go.
constexpr double kSlabsPerClass = 1;
constexpr double kBytesToBegin = 2 * kHugePageBytes;
// What the blocks of a class go up and down by chance, in standard deviations.
constexpr double kTide = 1;
// Blocks that a plan takes from a class leave holes until they are replaced: this part of them is what that costs.
constexpr double kMovedPart = 256;
constexpr uint64_t kPlansPerTurnover = 8;
// While a pool grows by this part from plan to plan, a plan is for so many times what lives now, as far as the capacity
// allows: nothing is cheaper than to put blocks where they belong from the first.
constexpr uint64_t kGrowthPart = 16;
constexpr double kGrowth = 4;
// A class is dormant when it has less than this part of the blocks of its range: their frees go to the slabs one by one.
constexpr double kDormantPart = 8;

}  // namespace

bool SizeLearner::Sample(size_t bytes, size_t count) {
  if (bytes <= kMaxTableBytes) sampled_counts_[TableEntryOf(bytes)].fetch_add(count, std::memory_order_relaxed);
  const uint64_t more_bytes = bytes * count;
  const uint64_t sampled_bytes = sampled_bytes_.fetch_add(more_bytes, std::memory_order_relaxed) + more_bytes;
  return sampled_bytes >= due_bytes_.load(std::memory_order_relaxed);
}

SizeLearner::Range SizeLearner::RangeOf(size_t low_bytes, const SizeClassInfo& high) {
  Range range{.low_bytes = low_bytes, .high_bytes = high.object_bytes};
  const size_t unit_bytes = range.high_bytes > kCacheLineFromBytes ? kCacheLineBytes : kTableStepBytes;
  const size_t part_bytes = (range.high_bytes - low_bytes + kPartCount - 1) / kPartCount;
  range.step_bytes = (part_bytes + unit_bytes - 1) / unit_bytes * unit_bytes;
  return range;
}

// What is remembered of a range is scaled down to what lives in it. What lives stays as it is, or becomes what is asked for
// now, whichever is more: a size that is new counts at once, one whose blocks only stay is not forgotten.
bool SizeLearner::Measure(Range& range, const LiveMemory& live, double coming_share) {
  double live_count = 0;
  for (size_t i = 0; i < classes_.class_count(); ++i) {
    const size_t object_bytes = classes_.ObjectBytes(ToSizeClass(i));
    if (object_bytes <= range.low_bytes || object_bytes > range.high_bytes) continue;
    live_count += static_cast<double>(live.counts[i]);
    if (object_bytes == range.high_bytes) range.high_count = static_cast<double>(live.counts[i]);
    const size_t above_bytes = object_bytes - range.low_bytes;
    // Of a learned class that a user's new class has put between the steps nothing is known here: it retires.
    if (classes_.IsLearned(ToSizeClass(i)) && above_bytes % range.step_bytes == 0) {
      range.learned |= 1U << (above_bytes / range.step_bytes - 1);
    }
  }
  std::array<double, kPartCount> coming{};
  const size_t first = TableEntryOf(range.low_bytes) + 1;
  const size_t last = TableEntryOf(range.high_bytes);
  const auto part_of = [&](size_t entry) { return (entry * kTableStepBytes - range.low_bytes - 1) / range.step_bytes; };
  double remembered_count = 0;
  for (size_t i = first; i <= last; ++i) {
    const double sampled = static_cast<double>(sampled_counts_[i].exchange(0, std::memory_order_relaxed));
    coming[part_of(i)] += sampled * coming_share;
    remembered_counts_[i] += sampled;
    remembered_count += remembered_counts_[i];
  }
  const double kept_share = std::min(1.0, live_count / std::max(remembered_count, 1.0));
  for (size_t i = first; i <= last; ++i) {
    remembered_counts_[i] *= kept_share;
    range.counts[part_of(i)] += remembered_counts_[i];
  }
  for (size_t part = 0; part < kPartCount; ++part) range.counts[part] = std::max(range.counts[part], coming[part]);
  return std::accumulate(range.counts.begin(), range.counts.end(), 0.0) >= 1;
}

// What the blocks of a range take more than each in a class of its own part; the slabs that classes leave partly empty; the
// room for a class's blocks to go up and down, as a sum of so many independent choices does; the holes that are left.
double SizeLearner::CostBytes(const Range& range, unsigned mask, size_t node_count) {
  const size_t part_count = range.PartCount();
  const unsigned classes = mask | 1U << (part_count - 1);
  double cost_bytes = 0;
  double count = 0;
  for (size_t part = 0, first = 0; part < part_count; ++part) {
    count += range.counts[part];
    if ((classes >> part & 1) == 0) continue;
    const size_t object_bytes = range.BytesOf(part);
    for (size_t i = first; i < part; ++i) {
      cost_bytes += range.counts[i] * static_cast<double>((part - i) * range.step_bytes);
    }
    if (count >= 1) {
      // The fixed class is there anyhow.
      const double slab_count = part + 1 == part_count ? 0 : kSlabsPerClass * static_cast<double>(node_count);
      cost_bytes += slab_count * static_cast<double>(range.slab_bytes[part]);
      cost_bytes += kTide * std::sqrt(count) * static_cast<double>(object_bytes);
    }
    if (part + 1 == part_count) {
      cost_bytes += std::max(range.high_count - count, 0.0) / kMovedPart * static_cast<double>(object_bytes);
    }
    first = part + 1;
    count = 0;
  }
  return cost_bytes;
}

void SizeLearner::Choose(Range& range, size_t node_count) {
  const size_t part_count = range.PartCount();
  for (size_t part = 0; part < part_count; ++part) {
    const SizeClassInfos infos = MakeInfos(range.BytesOf(part));
    range.slab_bytes[part] = infos[static_cast<size_t>(SlabKind::kNormal)].slot_count() * kSlotBytes;
  }
  const double whole_bytes = CostBytes(range, 0, node_count);
  double best_bytes = whole_bytes;
  for (unsigned mask = 1; mask < 1U << (part_count - 1); ++mask) {
    const double cost_bytes = CostBytes(range, mask, node_count);
    const int begun_count = std::popcount(mask & ~range.learned);
    const double here_bytes = cost_bytes + kBytesToBegin * static_cast<double>(node_count) * begun_count;
    if (here_bytes >= best_bytes) continue;
    best_bytes = here_bytes;
    range.wanted = mask;
    range.saved_bytes = whole_bytes - cost_bytes;
  }
}

void SizeLearner::Plan(const LiveMemory& live) {
  const double used_bytes = static_cast<double>(std::max<uint64_t>(live.used_bytes, 1));
  const bool grows = live.used_bytes > planned_used_bytes_ + planned_used_bytes_ / kGrowthPart;
  const double growth = grows ? std::clamp(static_cast<double>(live.capacity_bytes) / used_bytes, 1.0, kGrowth) : 1;
  planned_used_bytes_ = live.used_bytes;
  const uint64_t sampled_bytes = sampled_bytes_.exchange(0, std::memory_order_relaxed);
  due_bytes_.store(std::max(kMinPlanBytes, live.used_bytes / kPlansPerTurnover), std::memory_order_relaxed);
  const double coming_share = used_bytes * growth / static_cast<double>(std::max<uint64_t>(sampled_bytes, 1));
  // The ranges that want classes, those that save most by each of them first.
  size_t range_count = 0;
  for (size_t low_bytes = kFromBytes; low_bytes < kMaxTableBytes;) {
    Range range = RangeOf(low_bytes, classes_.Info(classes_.FixedFor(low_bytes + 1, 1)));
    if (Measure(range, live, coming_share)) Choose(range, live.node_count);
    if (range.wanted != 0) ranges_[range_count++] = range;
    low_bytes = range.high_bytes;
  }
  const auto saved_by_each = [](const Range& range) { return range.saved_bytes / std::popcount(range.wanted); };
  std::sort(ranges_.begin(), ranges_.begin() + static_cast<ptrdiff_t>(range_count),
            [&](const Range& left, const Range& right) { return saved_by_each(left) > saved_by_each(right); });
  std::array<size_t, kLearnedClassLimit> sizes;
  size_t size_count = 0;
  for (size_t i = 0; i < range_count; ++i) {
    const Range& range = ranges_[i];
    if (size_count + static_cast<size_t>(std::popcount(range.wanted)) > sizes.size()) continue;
    for (size_t part = 0; part + 1 < range.PartCount(); ++part) {
      if ((range.wanted >> part & 1) != 0) sizes[size_count++] = range.low_bytes + (part + 1) * range.step_bytes;
    }
  }
  classes_.SetLearned({sizes.data(), size_count});
  for (size_t i = 0; i < range_count; ++i) MakeDormant(ranges_[i]);
}

// The fixed class at the end of a range, where learned ones have taken over all that is asked for, and few of its blocks
// are left.
void SizeLearner::MakeDormant(const Range& range) {
  const SizeClass fixed = classes_.FixedFor(range.high_bytes, 1);
  const bool fetched = classes_.TakeFetched(fixed);
  double left_count = 0;
  for (size_t part = 0; part < range.PartCount(); ++part) {
    if (classes_.For(range.BytesOf(part)) == fixed) left_count += range.counts[part];
  }
  const double all_count = std::accumulate(range.counts.begin(), range.counts.end(), 0.0);
  if (!fetched && left_count < 1 && range.high_count * kDormantPart < all_count) classes_.SetDormant(fixed);
}

}  // namespace hugepool::internal
