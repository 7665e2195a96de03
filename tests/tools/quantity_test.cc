#include "tools/quantity.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace hugepool::tools {
namespace {

TEST(Quantity, SizesInTheLargestUnitWithOneDecimal) {
  EXPECT_EQ(SizeText(0), "0 B");
  EXPECT_EQ(SizeText(1023), "1023 B");
  EXPECT_EQ(SizeText(1024), "1 KiB");
  EXPECT_EQ(SizeText(uint64_t{2} << 20), "2 MiB");
  EXPECT_EQ(SizeText((uint64_t{3} << 30) + (uint64_t{1} << 29)), "3.5 GiB");
  EXPECT_EQ(SizeText(uint64_t{4} << 40), "4 TiB");
  EXPECT_EQ(SizeText(UINT64_MAX), "16.0 EiB");
}

TEST(Quantity, IdListsAsTheKernelWritesThem) {
  EXPECT_EQ(IdListText({}), "none");
  EXPECT_EQ(IdListText({5}), "5");
  EXPECT_EQ(IdListText({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
}

TEST(Quantity, OneIsSingular) {
  EXPECT_EQ(CountText(0, "page"), "0 pages");
  EXPECT_EQ(CountText(1, "page"), "1 page");
  EXPECT_EQ(CountText(2, "page"), "2 pages");
}

}  // namespace
}  // namespace hugepool::tools
