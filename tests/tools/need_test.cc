#include "tools/need.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hugepool::tools {
namespace {

using ::testing::HasSubstr;

TEST(Need, OnAnyNode) {
  const auto need = ParseNeed("4G", nullptr);
  ASSERT_TRUE(need);
  EXPECT_EQ(need->page_count, 2048u);
  EXPECT_TRUE(need->by_node.empty());
  EXPECT_FALSE(need->rounded);
  EXPECT_EQ(need->bytes(), uint64_t{4} << 30);
  EXPECT_EQ(need->Text(), "4G");
}

TEST(Need, IsRoundedUpToPages) {
  const auto need = ParseNeed("2097153", nullptr);
  ASSERT_TRUE(need);
  EXPECT_EQ(need->page_count, 2u);
  EXPECT_TRUE(need->rounded);
  EXPECT_EQ(ParseNeed("1", nullptr)->page_count, 1u);
}

TEST(Need, NodeByNodeInAnyOrder) {
  const auto need = ParseNeed(" node3=2G , node0=1024M", nullptr);
  ASSERT_TRUE(need);
  ASSERT_EQ(need->by_node.size(), 2u);
  EXPECT_EQ(need->by_node[0].node_id, 0);
  EXPECT_EQ(need->by_node[0].page_count, 512u);
  EXPECT_EQ(need->by_node[1].node_id, 3);
  EXPECT_EQ(need->page_count, 1536u);
  EXPECT_EQ(need->Text(), "node0=1G,node3=2G");
}

TEST(Need, ItsTextIsOneShellWordThatMeansTheSame) {
  for (const char* text : {"4G\n", "6M", "1", "node1=3M,\tnode0=7T", "node1023=1K"}) {
    const auto need = ParseNeed(text, nullptr);
    ASSERT_TRUE(need) << text;
    EXPECT_EQ(need->Text().find_first_of(" \t\n'\"$;&|"), std::string::npos) << text;
    const auto again = ParseNeed(need->Text(), nullptr);
    ASSERT_TRUE(again) << text;
    EXPECT_EQ(again->page_count, need->page_count);
    EXPECT_EQ(again->Text(), need->Text());
  }
}

class NeedRefuses : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(NeedRefuses, NamingTheValueAndTheMend) {
  Error error;
  EXPECT_FALSE(ParseNeed(GetParam().first, &error));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.operation, "--need");
  EXPECT_THAT(error.message, HasSubstr(GetParam().second));
  EXPECT_FALSE(error.mend.empty());
  EXPECT_FALSE(ParseNeed(GetParam().first, nullptr));
}

INSTANTIATE_TEST_SUITE_P(
    BadNeeds, NeedRefuses,
    ::testing::Values(std::pair{"", "''"}, std::pair{" ", "' '"}, std::pair{"0", "1 byte to 4 EiB"},
                      std::pair{"-1", "'-1'"}, std::pair{"4X", "'4X'"}, std::pair{"G", "'G'"},
                      std::pair{"1e9", "'1e9'"}, std::pair{"18446744073709551616", "'18446744073709551616'"},
                      std::pair{"16000000T", "1 byte to 4 EiB"}, std::pair{"17000000000000T", "17000000000000T"},
                      std::pair{"4\xffG", "'4\\xffG'"}, std::pair{"node0", "nodeN=SIZE"}, std::pair{"node0=", "''"},
                      std::pair{"=4G", "''"}, std::pair{"node=4G", "'node'"}, std::pair{"node-1=4G", "'node-1'"},
                      std::pair{"node1024=4G", "node0 to node1023"}, std::pair{"n0=4G", "'n0'"},
                      std::pair{"node0=1G,", "''"}, std::pair{",node0=1G", "''"},
                      std::pair{"node0=1G,node0=2G", "node0"}, std::pair{"node0=1G,4G", "'4G'"},
                      std::pair{"node0=0,node1=1G", "'0'"}, std::pair{"node0=3000000T,node1=3000000T", "4 EiB"},
                      std::pair{"node0=1G=2G", "'1G=2G'"}, std::pair{"node0:1G", "nodeN=SIZE"}));

TEST(Need, NamesOnlyNodesThatMayBeUsed) {
  internal::MemoryState state;
  state.nodes = {{.node_id = 0, .total_bytes = 1}, {.node_id = 2}, {.node_id = 4, .total_bytes = 1}};
  state.allowed_nodes = std::vector<int>{0};
  Error error;
  EXPECT_TRUE(CheckNeed(*ParseNeed("node0=1G", nullptr), state, &error));
  EXPECT_TRUE(CheckNeed(*ParseNeed("1G", nullptr), state, &error));
  EXPECT_FALSE(CheckNeed(*ParseNeed("node0=1G,node1=1G", nullptr), state, &error));
  EXPECT_THAT(error.message, HasSubstr("node1 is not on this machine; allowed: node0"));
  EXPECT_FALSE(CheckNeed(*ParseNeed("node2=1G", nullptr), state, &error));
  EXPECT_THAT(error.message, HasSubstr("node2 has CPUs but no memory"));
  EXPECT_FALSE(CheckNeed(*ParseNeed("node4=1G", nullptr), state, &error));
  EXPECT_THAT(error.message, HasSubstr("node4 is outside of what this process may use"));
  EXPECT_FALSE(error.mend.empty());
  state.allowed_nodes = std::vector<int>{};
  EXPECT_FALSE(CheckNeed(*ParseNeed("node0=1G", nullptr), state, &error));
  EXPECT_THAT(error.message, HasSubstr("allowed: no node"));
}

}  // namespace
}  // namespace hugepool::tools
