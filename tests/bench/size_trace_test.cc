// Recorded sizes: read back with everything that is wrong in them named, summed up, played.
#include "bench/size_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/allocation_trace.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "bench/counting_allocator.h"
#include "scratch_dir.h"

namespace hugepool::bench {
namespace {

using rocksdb::TraceOfAllocation;
using rocksdb::TraceOfFree;
using ::testing::HasSubstr;

class SizeTraceTest : public ::testing::Test {
 protected:
  void Write(const std::vector<uint64_t>& events, const std::string& tail = "") {
    std::string bytes(rocksdb::kTraceMagic);
    for (const uint64_t event : events) {
      char encoded[rocksdb::kTraceEventMostBytes];
      bytes.append(encoded, rocksdb::EncodeTraceEvent(event, encoded));
    }
    std::ofstream(path_) << bytes << tail;
  }
  std::string Problem() {
    std::string problem;
    EXPECT_FALSE(ReadSizeTrace(path_, &problem).has_value());
    return problem;
  }

  const testing::ScratchDir dir_;
  const std::string path_ = dir_ / "sizes";
};

const std::vector<uint64_t> kEvents = {TraceOfAllocation(4000), TraceOfAllocation(100),  TraceOfFree(2),
                                       TraceOfAllocation(4000), TraceOfAllocation(5000), TraceOfFree(1)};

TEST_F(SizeTraceTest, IsSummedUp) {
  Write(kEvents);
  std::string problem;
  const auto trace = ReadSizeTrace(path_, &problem);
  ASSERT_TRUE(trace.has_value()) << problem;
  EXPECT_EQ(trace->events, kEvents);
  EXPECT_EQ(trace->allocation_count, 4u);
  EXPECT_EQ(trace->most_live_bytes, 9100u);
  EXPECT_EQ(trace->most_live_count, 3u);
  EXPECT_EQ(trace->peak_event, 5u);
  const std::string sizes = FormatSizes(*trace);
  EXPECT_THAT(sizes, HasSubstr("4000 B       2              61.1 %"));
  EXPECT_LT(sizes.find("5000 B"), sizes.find("100 B")) << "most bytes first";
}

TEST_F(SizeTraceTest, AProcessThatWasKilledLeavesAReadableTrace) {
  Write(kEvents, "\xff\xff");
  std::string problem;
  const auto trace = ReadSizeTrace(path_, &problem);
  ASSERT_TRUE(trace.has_value()) << problem;
  EXPECT_EQ(trace->events.size(), kEvents.size());
}

TEST_F(SizeTraceTest, WhatIsWrongIsNamedWithItsPlace) {
  EXPECT_THAT(Problem(), HasSubstr("--replay_sizes=" + path_));
  std::ofstream(path_) << "key,value\n";
  EXPECT_THAT(Problem(), HasSubstr("is no trace"));
  Write({});
  EXPECT_THAT(Problem(), HasSubstr("no allocation in it"));
  const std::string first = "byte " + std::to_string(rocksdb::kTraceMagic.size());
  Write({TraceOfFree(1)});
  EXPECT_THAT(Problem(), HasSubstr(first + ": a free of a block that is not live"));
  Write({TraceOfAllocation(1), TraceOfFree(1), TraceOfFree(1)});
  EXPECT_THAT(Problem(), HasSubstr("a free of a block that is not live"));
  Write({TraceOfAllocation(1), TraceOfFree(2)});
  EXPECT_THAT(Problem(), HasSubstr("a free of a block that is not live"));
  Write({TraceOfAllocation(uint64_t{1} << 50)});
  EXPECT_THAT(Problem(), HasSubstr(first + ": a block of 1125899906842624 bytes"));
  Write({}, std::string(20, '\xff'));
  EXPECT_THAT(Problem(), HasSubstr(first + ": an event that is longer than any"));
}

TEST_F(SizeTraceTest, PlaysEveryEventAndLeavesNothing) {
  Write(kEvents);
  std::string problem;
  const auto trace = ReadSizeTrace(path_, &problem);
  ASSERT_TRUE(trace.has_value()) << problem;
  CountingAllocator allocator(NewMallocAllocator(), 10);
  SizePlayer player(*trace, &allocator);
  for (int pass = 0; pass < 3; ++pass) {
    EXPECT_EQ(player.Play(), "");
    EXPECT_EQ(allocator.table().payload_bytes(), 4100u);
    EXPECT_EQ(allocator.table().block_count(), 2u);
    player.FreeRest();
    EXPECT_EQ(player.PlayToPeak(), "");
    EXPECT_EQ(allocator.table().payload_bytes(), trace->most_live_bytes);
    player.FreeRest();
    EXPECT_EQ(allocator.table().block_count(), 0u);
  }
  EXPECT_EQ(player.verified_count(), 3 * (4 + 4u));
  EXPECT_EQ(player.TakeLatency().count(), 3 * 2u) << "the first of every eight";
}

// An allocator that hands out the same memory twice.
class Overlapping final : public ::rocksdb::MemoryAllocator {
 public:
  const char* Name() const override { return "overlapping"; }
  void* Allocate(size_t) override { return memory_.data(); }
  void Deallocate(void*) override {}

 private:
  std::vector<char> memory_ = std::vector<char>(8192);
};

TEST_F(SizeTraceTest, ABlockThatAnotherOneOverwroteIsSeen) {
  Write(kEvents);
  std::string problem;
  const auto trace = ReadSizeTrace(path_, &problem);
  ASSERT_TRUE(trace.has_value()) << problem;
  Overlapping allocator;
  SizePlayer player(*trace, &allocator);
  EXPECT_EQ(player.Play(), "block 0 was overwritten by another");
}

}  // namespace
}  // namespace hugepool::bench
