// The parsers of the kernel's small files: exact on what the kernel writes, and no more than that.
#include "topology/system_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "pool/topology/made_up_machine.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(SystemFiles, IdListsAsTheKernelWritesThem) {
  EXPECT_THAT(ParseIdList("0-3,8", 15), Optional(ElementsAre(0, 1, 2, 3, 8)));
  EXPECT_THAT(ParseIdList("7\n", 15), Optional(ElementsAre(7)));
  EXPECT_THAT(ParseIdList("\n", 15), Optional(IsEmpty()));
  for (const char* bad : {"0-", "-3", "3-1", "1,", ",1", "1,,2", "0x1", "1 2", "2,1", "1,1", "0-3,2", "16", "-1",
                          "0-99", "18446744073709551616", "a", "1-2-3", "0:2"}) {
    EXPECT_EQ(ParseIdList(bad, 15), std::nullopt) << bad;
  }
}

TEST(SystemFiles, CountsAreWholeNumbersUpToTheLimit) {
  EXPECT_EQ(ParseCount("0", 10), 0u);
  EXPECT_EQ(ParseCount("18446744073709551615", UINT64_MAX), UINT64_MAX);
  for (const char* bad : {"", " 1", "1 ", "-1", "+1", "1.5", "11", "0x5", "18446744073709551616", "1e3", "ten"}) {
    EXPECT_EQ(ParseCount(bad, 10), std::nullopt) << bad;
  }
}

TEST(SystemFiles, MissingAndDamagedAreToldApart) {
  const MadeUpMachine machine;
  machine.Write("/count", "12\n");
  machine.Write("/damaged", "12\x01\xff pages\n");
  const SystemFiles files(machine.root() + "//");
  Error error;
  EXPECT_EQ(files.Count("/count", 100, &error), 12u);
  EXPECT_EQ(files.Count("/nowhere", 100, &error), std::nullopt);
  EXPECT_FALSE(error);
  EXPECT_EQ(files.Count("/damaged", 100, &error), std::nullopt);
  EXPECT_EQ(error.operation, "read /damaged");
  EXPECT_THAT(error.message, HasSubstr("'12\\x01\\xff pages'"));
  EXPECT_THAT(error.message, HasSubstr("0 to 100"));
  EXPECT_FALSE(error.mend.empty());
  error = Error{};
  EXPECT_EQ(files.Count("/count", 11, &error), std::nullopt);
  EXPECT_THAT(error.message, HasSubstr("0 to 11"));
}

TEST(SystemFiles, FieldsOfStatusAndMeminfo) {
  const MadeUpMachine machine;
  machine.Write("/status", "Name:\tx\nMems_allowed:\t1\nMems_allowed_list:\t0-1\nEmpty:\n");
  machine.Write("/meminfo", "MemTotal:  1024 kB\nHugePages_Total:  3\nMemFree: -1 kB\nHuge: 99999999999999999 kB\n");
  const SystemFiles files(machine.root());
  EXPECT_EQ(files.Field("/status", "Mems_allowed_list"), "0-1");
  EXPECT_EQ(files.Field("/status", "Mems"), std::nullopt);
  EXPECT_EQ(files.Field("/status", "Empty"), "");
  Error error;
  EXPECT_EQ(files.KilobyteField("/meminfo", "MemTotal", &error), 1024u * 1024u);
  EXPECT_EQ(files.KilobyteField("/meminfo", "MemAvailable", &error), std::nullopt);
  EXPECT_FALSE(error);
  EXPECT_EQ(files.KilobyteField("/meminfo", "MemFree", &error), std::nullopt);
  EXPECT_THAT(error.message, HasSubstr("MemFree: -1 kB"));
  EXPECT_EQ(files.KilobyteField("/meminfo", "Huge", &error), std::nullopt);
  EXPECT_THAT(error.message, HasSubstr("99999999999999999"));
}

TEST(SystemFiles, OnlyNumberedFoldersCount) {
  const MadeUpMachine machine;
  for (const char* name : {"node10", "node2", "nodes", "node", "node-1", "node3x", "has_cpu"}) {
    machine.Write(std::string("/n/") + name + "/file", "");
  }
  machine.Write("/n/node4", "a file, no folder");
  EXPECT_THAT(SystemFiles(machine.root()).NumberedFolders("/n", "node", ""), ElementsAre(2u, 10u));
  EXPECT_THAT(SystemFiles(machine.root()).NumberedFolders("/nowhere", "node", ""), IsEmpty());
}

TEST(SystemFiles, PipesFoldersAndEndlessFilesAreNotRead) {
  const MadeUpMachine machine;
  machine.Write("/folder/file", "");
  ASSERT_EQ(mkfifo((machine.root() + "/pipe").c_str(), 0600), 0);
  machine.Write("/long", std::string(SystemFiles::kMaxFileBytes + 5000, '9'));
  const SystemFiles files(machine.root());
  EXPECT_EQ(files.Text("/folder"), std::nullopt);
  EXPECT_EQ(files.Text("/pipe"), std::nullopt);
  ASSERT_TRUE(files.Text("/long"));
  EXPECT_EQ(files.Text("/long")->size(), SystemFiles::kMaxFileBytes);
}

TEST(SystemFiles, RandomBytesNeverBreakAParser) {
  std::mt19937 random(7);
  constexpr char kLikely[] = "0123456789-,:kB \n\tx";
  for (int round = 0; round < 20000; ++round) {
    std::string text(random() % 24, '\0');
    for (char& character : text) {
      character = random() % 8 == 0 ? static_cast<char>(random()) : kLikely[random() % (sizeof(kLikely) - 1)];
    }
    if (const auto ids = ParseIdList(text, 1023)) {
      ASSERT_TRUE(std::is_sorted(ids->begin(), ids->end()));
      if (!ids->empty()) {
        ASSERT_LE(ids->back(), 1023);
      }
    }
    if (const auto count = ParseCount(text, 500)) {
      ASSERT_LE(*count, 500u);
    }
    ASSERT_LE(Quoted(text).size(), 4 * text.size() + 2);
    Error error;
    const auto bytes = SystemFiles::KilobyteFieldOf("MemTotal: " + text, "/proc/meminfo", "MemTotal", &error);
    ASSERT_NE(bytes.has_value(), static_cast<bool>(error)) << text;
  }
}

}  // namespace
}  // namespace hugepool::internal
