// Bad input: exit 2, and a sentence that names the option, its value, what is allowed and what to do.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "bench/program.h"

namespace hugepool::testing {
namespace {

struct BadOption {
  const char* argument;
  const char* says;  // besides the argument itself
};

class KvBenchBadOption : public ::testing::TestWithParam<BadOption> {};

TEST_P(KvBenchBadOption, IsRefusedByNameValueAndRange) {
  ScratchDir dir;
  const Outcome outcome = RunKvBench({"--db=" + (dir / "db"), GetParam().argument});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find(GetParam().argument), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find(GetParam().says), std::string::npos) << outcome.error;
  EXPECT_EQ(outcome.output, "");
  EXPECT_FALSE(std::filesystem::exists(dir / "db")) << "nothing is made before the options are right";
}

INSTANTIATE_TEST_SUITE_P(
    Options, KvBenchBadOption,
    ::testing::Values(
        BadOption{"--records=0", "1 to 4294967296"}, BadOption{"--records=-5", "allowed is"},
        BadOption{"--records=many", "For example: --records=5000000"}, BadOption{"--records=5000000000", "allowed is"},
        BadOption{"--value_bytes=0", "1 to 1048576"}, BadOption{"--value_bytes=2M", "allowed is"},
        BadOption{"--block_bytes=0", "1024 to 16777216"}, BadOption{"--block_bytes=100", "1024 to 16777216"},
        BadOption{"--seed=x", "allowed is"}, BadOption{"--threads=0", "1 to 1024"},
        BadOption{"--threads=2000", "1 to 1024"}, BadOption{"--rounds=0", "1 to 10000"},
        BadOption{"--seconds=0", "0.05 to 86400"}, BadOption{"--seconds=-1", "0.05 to 86400"},
        BadOption{"--seconds=nan", "0.05 to 86400"}, BadOption{"--warmup_most_seconds=-1", "0 to 86400"},
        BadOption{"--turnovers=-1", "0 to 1000"}, BadOption{"--rate=-1", "0 to"}, BadOption{"--write_rate=0", "1 to"},
        BadOption{"--cache_bytes=0", "a share of the data"}, BadOption{"--cache_bytes=12x", "a share of the data"},
        BadOption{"--cache_bytes=-30%", "a share of the data"}, BadOption{"--cache_bytes=1K", "a size from 1M on"},
        BadOption{"--cache_type=clock", "hyper_clock"},
        BadOption{"--workload=write", "readrandom, multireadrandom, seekrandom, readwhilewriting, ycsb-a"},
        BadOption{"--compression=best", "none"}, BadOption{"--allocators=dlmalloc", "jemalloc-thp"},
        BadOption{"--no_such_option", "kv_bench --help"}));

TEST(KvBenchBadInput, MissingDatabaseOptionIsNamed) {
  const Outcome outcome = RunKvBench({});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("--db"), std::string::npos) << outcome.error;
}

TEST(KvBenchBadInput, DatabaseAndTraceExcludeEachOther) {
  const Outcome outcome = RunKvBench({"--db=/tmp/x", "--replay_sizes=/tmp/y"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("exclude each other"), std::string::npos) << outcome.error;
}

TEST(KvBenchBadInput, WhatIsNoTraceIsNamed) {
  const Outcome outcome = RunKvBench({"--replay_sizes=/nonexistent/sizes"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("--replay_sizes=/nonexistent/sizes"), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find("--record_sizes"), std::string::npos) << outcome.error;
}

TEST(KvBenchBadInput, RecordingNeedsARowThatCan) {
  ScratchDir dir;
  const Outcome outcome =
      RunKvBench({"--db=" + (dir / "db"), "--record_sizes=" + (dir / "sizes"), "--allocators=malloc"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("a row of hugepool"), std::string::npos) << outcome.error;
}

TEST(KvBenchBadInput, HelpIsNoError) {
  const Outcome outcome = RunKvBench({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* option : {"--db", "--records", "--value_bytes", "--block_bytes", "--workload", "--threads",
                             "--cache_bytes", "--allocators", "--rounds", "--seconds", "--json", "--html"}) {
    EXPECT_NE(outcome.output.find(option), std::string::npos) << option;
  }
}

// Each prepares a directory in its own way; this asks what kv_bench says about it.
void ExpectRefusal(const std::vector<std::string>& arguments, const std::vector<std::string>& says) {
  std::vector<std::string> all = {"--records=2000", "--rounds=1", "--seconds=0.1", "--allocators=malloc"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const Outcome outcome = RunKvBench(all);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.error;
  for (const std::string& text : says) EXPECT_NE(outcome.error.find(text), std::string::npos) << outcome.error;
}

class KvBenchBadDatabase : public ::testing::Test {
 protected:
  void MakeDatabase() {
    const Outcome outcome = RunKvBench({"--db=" + db_, "--records=2000", "--rounds=1", "--seconds=0.1",
                                        "--allocators=malloc", "--warmup_most_seconds=0"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  }
  ScratchDir dir_;
  const std::string db_ = dir_ / "db";
};

TEST_F(KvBenchBadDatabase, FileInItsPlace) {
  std::ofstream(db_) << "x";
  ExpectRefusal({"--db=" + db_}, {"--db=" + db_, "not a directory"});
}

TEST_F(KvBenchBadDatabase, ForeignFilesAreLeftAlone) {
  std::filesystem::create_directory(db_);
  std::ofstream(db_ + "/diary.txt") << "mine";
  ExpectRefusal({"--db=" + db_}, {"--db=" + db_, "kv_bench did not make it", "empty or a new directory"});
  EXPECT_EQ(FileText(db_ + "/diary.txt"), "mine");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(db_), {}), 1);
}

TEST_F(KvBenchBadDatabase, DirectoryThatCannotBeMade) {
  std::ofstream(dir_ / "file") << "x";
  ExpectRefusal({"--db=" + (dir_ / "file/db")}, {"--db=" + (dir_ / "file/db")});
}

TEST_F(KvBenchBadDatabase, OtherShapeThanAskedFor) {
  MakeDatabase();
  ExpectRefusal({"--db=" + db_, "--value_bytes=401"}, {"--value_bytes=400, not 401", "name another directory"});
  ExpectRefusal({"--db=" + db_, "--seed=9"}, {"--seed=1, not 9"});
  ExpectRefusal({"--db=" + db_, "--compression=lz4"}, {"--compression=none, not lz4"});
}

TEST_F(KvBenchBadDatabase, UnreadableMarker) {
  MakeDatabase();
  std::ofstream(db_ + "/KV_BENCH.json") << "{\"format\": 1, \"records\": ";
  ExpectRefusal({"--db=" + db_}, {"KV_BENCH.json"});
}

TEST_F(KvBenchBadDatabase, MissingRocksdbFiles) {
  MakeDatabase();
  std::filesystem::remove(db_ + "/CURRENT");
  ExpectRefusal({"--db=" + db_}, {"--db=" + db_, "Remove the directory"});
}

TEST_F(KvBenchBadDatabase, FewerRecordsThanTheMarkerSays) {
  MakeDatabase();
  {
    ::rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(::rocksdb::DB::Open(::rocksdb::Options(), db_, &opened).ok());
    const std::unique_ptr<::rocksdb::DB> db(opened);
    const std::unique_ptr<::rocksdb::Iterator> all(db->NewIterator(::rocksdb::ReadOptions()));
    all->SeekToFirst();
    ASSERT_TRUE(db->Delete(::rocksdb::WriteOptions(), all->key()).ok());
    ASSERT_TRUE(db->Flush(::rocksdb::FlushOptions()).ok());
    ASSERT_TRUE(db->CompactRange(::rocksdb::CompactRangeOptions(), nullptr, nullptr).ok());
  }
  ExpectRefusal({"--db=" + db_}, {"holds 1999 records", "Remove the directory"});
}

TEST_F(KvBenchBadDatabase, DiskTooSmall) {
  ExpectRefusal({"--db=" + db_, "--records=4294967296", "--value_bytes=1M"}, {"--db=" + db_, "of disk", "are free"});
}

// A cache above the data takes no more than the data; asking for one is no mistake.
TEST_F(KvBenchBadDatabase, CacheLargerThanTheMachineIsNone) {
  MakeDatabase();
  const Outcome outcome = RunKvBench({"--db=" + db_, "--cache_bytes=100T", "--rounds=1", "--seconds=0.1",
                                      "--allocators=malloc", "--warmup_most_seconds=0"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
}

// Known only once the database's own shape is.
TEST_F(KvBenchBadDatabase, OptionsThatDoNotSuitItAreRefused) {
  ExpectRefusal({"--db=" + db_, "--turnovers=5"}, {"--turnovers=5", "nothing is evicted", "--cache_bytes=30%"});
  ExpectRefusal({"--db=" + (dir_ / "tiny"), "--value_bytes=15", "--workload=ycsb-a"},
                {"--workload=ycsb-a", "16 B or more", "have 15"});
}

TEST_F(KvBenchBadDatabase, ReportsThatCannotBeWritten) {
  ExpectRefusal({"--db=" + db_, "--json=" + (dir_ / "none/out.json")}, {"--json=" + (dir_ / "none/out.json")});
  ExpectRefusal({"--db=" + db_, "--csv=" + (dir_ / "none/out.csv")}, {"--csv=" + (dir_ / "none/out.csv")});
  ExpectRefusal({"--db=" + db_, "--html=/dev/full"}, {"--html=/dev/full"});
}

}  // namespace
}  // namespace hugepool::testing
