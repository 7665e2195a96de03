// Keys ascend, values come back from the seed, and a single changed bit is seen.
#include "bench/record_source.h"

#include <gtest/gtest.h>

#include <set>

namespace hugepool::bench {
namespace {

TEST(RecordSource, KeysAscendWithTheIndex) {
  const RecordSource source(1, 400);
  std::string before = "";
  for (const uint64_t index : {0u, 1u, 255u, 256u, 65535u, 65536u, 4000000000u}) {
    const Key key = source.MakeKey(index);
    EXPECT_LT(before, std::string(key.view()));
    before = key.view();
  }
}

TEST(RecordSource, ValuesMatchTheirRecordAndNoOther) {
  for (const size_t bytes : {1u, 7u, 8u, 9u, 400u, 100000u}) {
    const RecordSource source(3, bytes), same(3, bytes), other_seed(4, bytes);
    std::string value;
    int foreign_count = 0;
    for (uint64_t index = 0; index < 200; ++index) {
      source.MakeValue(index, 0, &value);
      ASSERT_EQ(value.size(), bytes);
      EXPECT_TRUE(same.Matches(index, value));
      EXPECT_FALSE(same.Matches(index, std::string_view(value).substr(1)));
      foreign_count += same.Matches(index + 1, value) ? 1 : 0;
      foreign_count += other_seed.Matches(index, value) ? 1 : 0;
    }
    EXPECT_LE(foreign_count, bytes == 1 ? 20 : 0) << bytes;
  }
}

TEST(RecordSource, EveryVersionIsTheRecordsOwnAndDiffersFromTheOthers) {
  const RecordSource source(3, 400);
  std::string value, other;
  for (const uint64_t version : {uint64_t{0}, uint64_t{1}, uint64_t{65536}, kVersionLimit - 1}) {
    source.MakeValue(5, version, &value);
    EXPECT_TRUE(source.Matches(5, value)) << version;
    EXPECT_FALSE(source.Matches(6, value)) << version;
    source.MakeValue(5, version + 1, &other);
    EXPECT_NE(value, other);
    // Half of one version and half of the next is neither.
    EXPECT_FALSE(source.Matches(5, value.substr(0, 200) + other.substr(200))) << version;
  }
}

// Inserted records lie all over the loaded ones, each behind the record whose place it has, and every key leads back.
TEST(RecordSource, KeysLeadBackToTheirRecords) {
  constexpr uint64_t kRecords = 1000;
  const RecordSource source(3, 400, kRecords);
  std::set<std::string> keys;
  int first_half_count = 0;
  for (uint64_t index = 0; index < 3 * kRecords; ++index) {
    const Key key = source.MakeKey(index);
    EXPECT_EQ(source.IndexOf(key.view()), index);
    EXPECT_TRUE(keys.emplace(key.view()).second) << index;
    first_half_count += index >= kRecords && key.view() < source.MakeKey(kRecords / 2).view() ? 1 : 0;
  }
  EXPECT_NEAR(first_half_count, 1000, 150);
  std::string wrong(source.MakeKey(7).view());
  wrong[3] = 1;
  EXPECT_EQ(source.IndexOf(wrong), std::nullopt);
  EXPECT_EQ(source.IndexOf("short"), std::nullopt);
}

TEST(RecordSource, EveryChangedBitIsSeen) {
  const RecordSource source(9, 40);
  std::string value;
  source.MakeValue(17, 0, &value);
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(source.Matches(17, value)) << bit;
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
  }
  EXPECT_TRUE(source.Matches(17, value));
}

}  // namespace
}  // namespace hugepool::bench
