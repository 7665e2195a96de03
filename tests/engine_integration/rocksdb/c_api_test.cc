// The allocator from C: served, kept alive by its cache, and refused with a text.
#include <gtest/gtest.h>

#include "engine_integration/rocksdb/c_user.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

TEST(FromC, ADatabaseIsServedAndTheCacheKeepsTheAllocatorAlive) {
  const ScratchDir scratch;
  EXPECT_EQ(UseAllocatorFromC(scratch.path().c_str()), 0) << "a line of c_user.c";
}

TEST(FromC, RefusalsAreTexts) { EXPECT_EQ(SeeRefusalsFromC(), 0) << "a line of c_user.c"; }

}  // namespace
}  // namespace hugepool::testing
