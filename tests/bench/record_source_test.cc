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
      source.MakeValue(index, &value);
      ASSERT_EQ(value.size(), bytes);
      EXPECT_TRUE(same.Matches(index, value.data(), value.size()));
      EXPECT_FALSE(same.Matches(index, value.data(), value.size() - 1));
      foreign_count += same.Matches(index + 1, value.data(), value.size()) ? 1 : 0;
      foreign_count += other_seed.Matches(index, value.data(), value.size()) ? 1 : 0;
    }
    EXPECT_LE(foreign_count, bytes == 1 ? 20 : 0) << bytes;
  }
}

TEST(RecordSource, EveryChangedBitIsSeen) {
  const RecordSource source(9, 40);
  std::string value;
  source.MakeValue(17, &value);
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(source.Matches(17, value.data(), value.size())) << bit;
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
  }
  EXPECT_TRUE(source.Matches(17, value.data(), value.size()));
}

}  // namespace
}  // namespace hugepool::bench
