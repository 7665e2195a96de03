// PoolOptions: what is written is what is read; what cannot be read is named.
#include "hugepool/pool_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pool/soak.h"

namespace hugepool {
namespace {

using ::testing::HasSubstr;

TEST(PoolOptions, ReadsEveryOption) {
  Error error;
  const auto options = PoolOptions::Parse(
      " capacity = 8G; huge_pages=required ; page=1G;placement=node(3); populate_at_start=all; "
      "wait_for_huge_pages_seconds=30; decay_seconds=40; "
      "cache_bytes_per_cpu=512K; learn_size_classes = on; name=blocks;",
      &error);
  ASSERT_TRUE(options) << error.ToString();
  EXPECT_EQ(options->capacity_bytes, size_t{8} << 30);
  EXPECT_EQ(options->huge_pages, HugePages::kRequired);
  EXPECT_EQ(options->page_bytes, kGiantPageBytes);
  EXPECT_EQ(options->placement, Placement::Node(3));
  EXPECT_EQ(options->populate_at_start, PopulateAtStart::kAll);
  EXPECT_EQ(options->wait_for_huge_pages_seconds, 30u);
  EXPECT_EQ(options->decay_seconds, 40u);
  EXPECT_EQ(options->cache_bytes_per_cpu, size_t{512} << 10);
  EXPECT_TRUE(options->learn_size_classes);
  EXPECT_EQ(options->name, "blocks");
}

TEST(PoolOptions, WhatIsNotNamedKeepsItsDefault) {
  const auto options = PoolOptions::Parse("", nullptr);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->ToString(), PoolOptions().ToString());
  EXPECT_FALSE(options->learn_size_classes);
}

TEST(PoolOptions, ParseMakesWhatToStringWrote) {
  for (const HugePages huge_pages :
       {HugePages::kRequired, HugePages::kPreferred, HugePages::kTransparent, HugePages::kOff}) {
    for (const Placement placement :
         {Placement::Local(), Placement::LocalStrict(), Placement::Interleave(), Placement::Node(17)}) {
      for (const PopulateAtStart populate : {PopulateAtStart::kNone, PopulateAtStart::kAll}) {
        PoolOptions options;
        options.capacity_bytes = 12345678;
        options.page_bytes = populate == PopulateAtStart::kAll ? kGiantPageBytes : kHugePageBytes;
        options.huge_pages = huge_pages;
        options.placement = placement;
        options.populate_at_start = populate;
        options.wait_for_huge_pages_seconds = 7;
        options.decay_seconds = 8;
        options.cache_bytes_per_cpu = 0;
        options.learn_size_classes = populate == PopulateAtStart::kAll;
        options.name = "a=b, c";
        Error error;
        const auto again = PoolOptions::Parse(options.ToString(), &error);
        ASSERT_TRUE(again) << options.ToString() << ": " << error.ToString();
        EXPECT_EQ(again->ToString(), options.ToString());
        EXPECT_EQ(again->huge_pages, huge_pages);
        EXPECT_EQ(again->page_bytes, options.page_bytes);
        EXPECT_EQ(again->placement, placement);
        EXPECT_EQ(again->populate_at_start, populate);
        EXPECT_EQ(again->wait_for_huge_pages_seconds, 7u);
        EXPECT_EQ(again->decay_seconds, 8u);
        EXPECT_EQ(again->learn_size_classes, options.learn_size_classes);
        EXPECT_EQ(again->name, options.name);
      }
    }
  }
}

TEST(PoolOptions, BadTextNamesTheValueAndWhatIsAllowed) {
  const struct {
    const char* text;
    const char* value;
    const char* allowed;
  } table[] = {
      {"capcity=8G", "'capcity'", "capacity, huge_pages, page, placement"},
      {"capacity", "'capacity' has no '='", "name=value"},
      {"capacity=lots", "'lots'", "whole number"},
      {"capacity=-1", "'-1'", "whole number"},
      {"capacity=1.5G", "'1.5G'", "whole number"},
      {"capacity=", "''", "whole number"},
      {"capacity=17179869184G", "'17179869184G'", "less than 16 EiB"},
      {"huge_pages=yes", "'yes'", "required, preferred, transparent, off"},
      {"huge_pages=Off", "'Off'", "required, preferred, transparent, off"},
      {"page=4M", "'4M'", "2M, 1G"},
      {"page=0", "'0'", "2M, 1G"},
      {"page=huge", "'huge'", "whole number"},
      {"page_bytes=1G", "'page_bytes'", "page, placement"},
      {"placement=near", "'near'", "local, local_strict, interleave, node(N)"},
      {"placement=node(x)", "'node(x)'", "node(N)"},
      {"placement=node(-1)", "'node(-1)'", "node(N)"},
      {"placement=node()", "'node()'", "node(N)"},
      {"placement=node(1", "'node(1'", "node(N)"},
      {"placement=node(99999999999)", "'node(99999999999)'", "node(N)"},
      {"populate_at_start=some", "'some'", "none, all"},
      {"wait_for_huge_pages_seconds=soon", "'soon'", "0 to 3600"},
      {"wait_for_huge_pages_seconds=-1", "'-1'", "0 to 3600"},
      {"decay_seconds=1m", "'1m'", "0 to 3600"},
      {"cache_bytes_per_cpu=2Q", "'2Q'", "whole number"},
      {"learn_size_classes=yes", "'yes'", "on, off"},
  };
  for (const auto& [text, value, allowed] : table) {
    Error error;
    EXPECT_FALSE(PoolOptions::Parse(text, &error)) << text;
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << text;
    EXPECT_EQ(error.operation, "PoolOptions::Parse") << text;
    EXPECT_THAT(error.message, HasSubstr(value));
    EXPECT_THAT(error.mend, HasSubstr(allowed)) << text;
    EXPECT_FALSE(PoolOptions::Parse(text, nullptr)) << text;
  }
}

// One by one: what ToString writes, and what is refused leaves all as it was.
TEST(PoolOptions, EachOptionIsSetAndReadByItsName) {
  PoolOptions options;
  std::string text;
  for (const std::string_view name : PoolOptions::Names()) {
    text += (text.empty() ? "" : "; ") + std::string(name) + "=" + options.Get(name);
  }
  EXPECT_EQ(text, options.ToString());
  Error error;
  EXPECT_TRUE(options.Set("capacity", " 3G ", &error));
  EXPECT_EQ(options.Get("capacity"), "3G");
  EXPECT_EQ(options.Get("capcity"), "");
  const std::string before = options.ToString();
  for (const std::string_view name : PoolOptions::Names()) {
    if (name == "name") continue;  // any text
    for (const char* const bad : {"5x", "", "-1", "%"}) {
      EXPECT_FALSE(options.Set(name, bad, &error)) << name;
      EXPECT_EQ(options.ToString(), before) << name;
    }
  }
  EXPECT_FALSE(options.Set("capcity", "8G", nullptr));
  EXPECT_EQ(options.ToString(), before);
}

TEST(ParseBytes, TakesPowersOf1024) {
  EXPECT_EQ(ParseBytes("0", nullptr), 0u);
  EXPECT_EQ(ParseBytes(" 4097 ", nullptr), 4097u);
  EXPECT_EQ(ParseBytes("7B", nullptr), 7u);
  for (const char* kib : {"3K", "3k", "3KB", "3KiB", "3kib", "3 K"}) EXPECT_EQ(ParseBytes(kib, nullptr), 3072u) << kib;
  EXPECT_EQ(ParseBytes("64M", nullptr), uint64_t{64} << 20);
  EXPECT_EQ(ParseBytes("2G", nullptr), uint64_t{2} << 30);
  EXPECT_EQ(ParseBytes("2T", nullptr), uint64_t{2} << 40);
  EXPECT_EQ(ParseBytes("18446744073709551615", nullptr), UINT64_MAX);
  EXPECT_EQ(ParseBytes("16777215T", nullptr), uint64_t{16777215} << 40);
}

TEST(ParseBytes, RefusesEverythingElse) {
  for (const char* text : {"", " ", "K", "-1", "+1", "0x10", "1e3", "1.5G", "64MM", "64MX", "64iB", "7BB", "7BiB",
                           "18446744073709551616", "16777216T", "1P", "1 2", "12;"}) {
    Error error;
    EXPECT_EQ(ParseBytes(text, &error), std::nullopt) << text;
    EXPECT_THAT(error.message, HasSubstr("'" + std::string(text) + "'"));
    EXPECT_THAT(error.mend, HasSubstr("K, M, G, T"));
  }
}

TEST(FormatBytes, IsReadBackAsTheSameNumber) {
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(4097), "4097");
  EXPECT_EQ(FormatBytes(uint64_t{1536} << 20), "1536M");
  EXPECT_EQ(FormatBytes(uint64_t{8} << 30), "8G");
  std::mt19937_64 random(testing::Seed());
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t bytes = random() >> random() % 64 << random() % 64;
    ASSERT_EQ(ParseBytes(FormatBytes(bytes), nullptr), bytes);
  }
}

}  // namespace
}  // namespace hugepool
