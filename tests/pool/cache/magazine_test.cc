// Magazine: last in, first out; the oldest leave first.
#include "cache/magazine.h"

#include <gtest/gtest.h>

namespace hugepool::internal {
namespace {

TEST(Magazine, NewestComesFirstAndOldestLeaves) {
  int objects[5];
  void* slots[4];
  Magazine magazine{.objects = slots, .count = 0, .capacity = 4};
  for (int i = 0; i < 4; ++i) magazine.Push(&objects[i]);
  EXPECT_TRUE(magazine.Full());
  void* out[4];
  ASSERT_EQ(magazine.TakeOldest(out, 2), 2u);
  EXPECT_EQ(out[0], &objects[0]);
  EXPECT_EQ(out[1], &objects[1]);
  magazine.Push(&objects[4]);
  EXPECT_EQ(magazine.Pop(), &objects[4]);
  EXPECT_EQ(magazine.Pop(), &objects[3]);
  EXPECT_EQ(magazine.TakeOldest(out, 9), 1u);
  EXPECT_EQ(out[0], &objects[2]);
  EXPECT_EQ(magazine.TakeOldest(out, 9), 0u);
}

}  // namespace
}  // namespace hugepool::internal
