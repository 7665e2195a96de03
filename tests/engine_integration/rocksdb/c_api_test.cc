// The allocator from C: served, kept alive by its cache, and refused with a text.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine_integration/rocksdb/c_user.h"

namespace hugepool::testing {
namespace {

TEST(FromC, ADatabaseIsServedAndTheCacheKeepsTheAllocatorAlive) {
  std::string directory = (std::filesystem::temp_directory_path() / "hugepool_c_XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  EXPECT_EQ(UseAllocatorFromC(directory.c_str()), 0) << "a line of c_user.c";
  std::filesystem::remove_all(directory);
}

TEST(FromC, RefusalsAreTexts) { EXPECT_EQ(SeeRefusalsFromC(), 0) << "a line of c_user.c"; }

}  // namespace
}  // namespace hugepool::testing
