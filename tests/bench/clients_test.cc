// Clients see every wrong value and order, write what others can read, and count latency from when an operation was due.
#include "bench/clients.h"

#include <gtest/gtest.h>
#include <rocksdb/utilities/stackable_db.h>

#include <memory>

#include "scratch_dir.h"

namespace hugepool::bench {
namespace {

using testing::ScratchDir;

constexpr uint64_t kRecords = 1000;

// A database that stops for a while at its n-th Get.
class StallingDb final : public ::rocksdb::StackableDB {
 public:
  StallingDb(::rocksdb::DB* db, int stall_at, std::chrono::milliseconds stall)
      : StackableDB(db), stall_at_(stall_at), stall_(stall) {}
  using StackableDB::Get;
  ::rocksdb::Status Get(const ::rocksdb::ReadOptions& options, ::rocksdb::ColumnFamilyHandle* family,
                        const ::rocksdb::Slice& key, ::rocksdb::PinnableSlice* value) override {
    if (++get_count_ == stall_at_) std::this_thread::sleep_for(stall_);
    return StackableDB::Get(options, family, key, value);
  }

 private:
  const int stall_at_;
  const std::chrono::milliseconds stall_;
  std::atomic<int> get_count_{0};
};

class ClientsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::rocksdb::Options options;
    options.create_if_missing = true;
    ::rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(::rocksdb::DB::Open(options, dir_ / "db", &opened).ok());
    db_.reset(opened);
    std::string value;
    for (uint64_t i = 0; i < kRecords; ++i) {
      source_.MakeValue(i, 0, &value);
      Put(i, value);
    }
  }

  void Put(uint64_t index, const std::string& value) {
    ASSERT_TRUE(db_->Put(::rocksdb::WriteOptions(), std::string(source_.MakeKey(index).view()), value).ok());
  }

  std::unique_ptr<Client> MakeClient(const char* workload, unsigned number = 0, unsigned client_count = 1) {
    return std::make_unique<Client>(db_.get(), &source_, *FindWorkload(workload), 1, number, client_count);
  }

  // Of as many operations as it takes to meet the problem with certainty.
  std::string ProblemOf(const char* workload) {
    const auto client = MakeClient(workload);
    for (int i = 0; i < 100'000 && client->Operate(); ++i) continue;
    return client->problem();
  }

  ScratchDir dir_;
  const RecordSource source_{1, 100, kRecords};
  std::unique_ptr<::rocksdb::DB> db_;
};

TEST_F(ClientsTest, EveryWorkloadRunsAndVerifies) {
  for (const Workload& workload : Workloads()) {
    const auto client = MakeClient(workload.name.c_str());
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(client->Operate()) << workload.name << ": " << client->problem();
    EXPECT_GT(client->verified_count(), 1000u) << workload.name;
  }
}

TEST_F(ClientsTest, ClientsReadWhatTheOthersWrote) {
  const auto writer = MakeClient("ycsb-f", 1, 2);
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(writer->Operate()) << writer->problem();
  const auto reader = MakeClient("seekrandom", 0, 2);
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(reader->Operate()) << reader->problem();
}

TEST_F(ClientsTest, AValueOfAnotherRecordIsSeenByEveryKindOfRead) {
  std::string value;
  source_.MakeValue(17, 0, &value);
  Put(18, value);
  for (const char* workload : {"readrandom", "multireadrandom", "seekrandom", "ycsb-c", "ycsb-e"}) {
    EXPECT_NE(ProblemOf(workload).find("record 18: the value read"), std::string::npos) << workload;
  }
}

TEST_F(ClientsTest, AMissingRecordIsSeenByEveryKindOfRead) {
  ASSERT_TRUE(db_->Delete(::rocksdb::WriteOptions(), std::string(source_.MakeKey(500).view())).ok());
  for (const char* workload : {"readrandom", "multireadrandom", "ycsb-c"}) {
    EXPECT_NE(ProblemOf(workload).find("record 500: read failed"), std::string::npos) << workload;
  }
  EXPECT_NE(ProblemOf("seekrandom").find("record 501 came in the place of 500"), std::string::npos);
}

TEST_F(ClientsTest, AForeignKeyIsSeenByScans) {
  // At the place of record 244 of 1,000.
  ASSERT_TRUE(db_->Put(::rocksdb::WriteOptions(),
                       std::string(7, '\0') + "\xf4"
                                              "foreign!",
                       "x")
                  .ok());
  EXPECT_NE(ProblemOf("ycsb-e").find("a key that is none of the records'"), std::string::npos);
}

// The stall delays what was due during it. Whoever only asks how long each operation took by itself sees one slow one.
TEST_F(ClientsTest, OpenLoopCountsFromWhenAnOperationWasDue) {
  constexpr double kSeconds = 1.0, kRate = 1000;
  const std::chrono::milliseconds stall(300);
  LatencyHistogram latency[2];
  for (const bool is_open : {false, true}) {
    ::rocksdb::DB* opened = nullptr;
    db_.reset();
    ASSERT_TRUE(::rocksdb::DB::Open(::rocksdb::Options(), dir_ / "db", &opened).ok());
    StallingDb db(opened, 200, stall);
    Clients clients(
        &db, &source_,
        {.workload = FindWorkload("readrandom"), .thread_count = 1, .seed = 1, .rate = is_open ? kRate : 0});
    latency[is_open] = clients
                           .Round(
                               0, kSeconds, [] {}, [] {})
                           .latency;
    EXPECT_EQ(clients.Problem(), "");
  }
  EXPECT_LT(latency[0].QuantileNs(0.9), 50e6) << "closed: one slow operation among many";
  // 300 of 1,000 operations came due while it stood still: those wait for 150 ms in the mean.
  EXPECT_NEAR(static_cast<double>(latency[1].count()), kRate * kSeconds, 0.2 * kRate * kSeconds);
  EXPECT_GT(latency[1].QuantileNs(0.9), 100e6);
}

TEST_F(ClientsTest, OpenLoopKeepsItsRateAndThePacedWriterItsOwn) {
  Clients clients(db_.get(), &source_,
                  {.workload = FindWorkload("readwhilewriting"), .thread_count = 2, .rate = 2000, .write_rate = 500});
  const RoundResult result = clients.Round(
      0, 2, [] {}, [] {});
  EXPECT_EQ(clients.Problem(), "");
  EXPECT_NEAR(result.operations_per_second, 2000, 300);
  EXPECT_NEAR(result.paced_writes_per_second, 500, 150);
}

TEST_F(ClientsTest, FillReadsEachStrideOnceAndChurnGoesOnUntilToldEnough) {
  Clients clients(db_.get(), &source_, {.workload = FindWorkload("readrandom"), .thread_count = 2});
  clients.Fill(10);
  int asked_count = 0;
  clients.Churn([&] { return ++asked_count == 3; });
  EXPECT_EQ(asked_count, 3);
  EXPECT_EQ(clients.Problem(), "");
}

}  // namespace
}  // namespace hugepool::bench
