// How runs end that do not end well: a wrong value, a worker that dies, a signal, a half-made database.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <rocksdb/db.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "bench/program.h"
#include "bench/record_source.h"

namespace hugepool::testing {
namespace {

std::vector<std::string> Arguments(const ScratchDir& dir, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--db=" + (dir / "db"), "--json=" + (dir / "out.json"), "--records=300",
                                        "--seconds=0.3", "--warmup_most_seconds=0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

void MakeDatabase(const ScratchDir& dir) {
  const Outcome outcome = RunKvBench(Arguments(dir, {"--rounds=1", "--allocators=malloc"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
}

// True once the process is gone (or a zombie of somebody else); waits for it.
bool IsGone(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return true;
  pollfd waited_for = {fd, POLLIN, 0};
  const bool is_gone = poll(&waited_for, 1, 20000) == 1;
  close(fd);
  return is_gone;
}

TEST(KvBenchEnd, OneWrongValueFailsTheRun) {
  ScratchDir dir;
  MakeDatabase(dir);
  {
    ::rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(::rocksdb::DB::Open(::rocksdb::Options(), dir / "db", &opened).ok());
    const std::unique_ptr<::rocksdb::DB> db(opened);
    // One bit of record 123, where the checksums of RocksDB do not see it: written as if it were right.
    const bench::RecordSource source(1, 400);
    std::string value;
    source.MakeValue(123, 0, &value);
    value[399] = static_cast<char>(value[399] ^ 1);
    ASSERT_TRUE(db->Put(::rocksdb::WriteOptions(), std::string(source.MakeKey(123).view()), value).ok());
    ASSERT_TRUE(db->Flush(::rocksdb::FlushOptions()).ok());
    ASSERT_TRUE(db->CompactRange(::rocksdb::CompactRangeOptions(), nullptr, nullptr).ok());
  }
  const Outcome outcome = RunKvBench(Arguments(dir, {"--rounds=1", "--allocators=malloc,hugepool-small"}));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.error.find("record 123: the value read"), std::string::npos) << outcome.error;
  const nlohmann::json document = FileJson(dir / "out.json");
  for (const nlohmann::json& row : document.at("rows")) EXPECT_EQ(row.at("status"), "failed") << row.at("name");
  EXPECT_NE(outcome.output.find("failed malloc"), std::string::npos) << "the table says it too";
}

TEST(KvBenchEnd, DamagedFileFailsTheRun) {
  ScratchDir dir;
  MakeDatabase(dir);
  for (const auto& entry : std::filesystem::directory_iterator(dir / "db")) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(entry.path()) / 2));
    file.write("damage", 6);
  }
  const Outcome outcome = RunKvBench(Arguments(dir, {"--rounds=1", "--allocators=malloc"}));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.error;
  EXPECT_NE(outcome.error.find("Corruption"), std::string::npos) << outcome.error;
}

TEST(KvBenchEnd, WorkerThatDiesIsAFailedRowAndTheOthersGoOn) {
  ScratchDir dir;
  Program program(Arguments(dir, {"--rounds=3", "--allocators=malloc,hugepool-small", "--seconds=0.5"}));
  ASSERT_TRUE(program.WaitForError("round 1/3 hugepool-small")) << program.error();
  const std::vector<pid_t> workers = program.Workers();
  ASSERT_EQ(workers.size(), 2u);
  kill(workers[0], SIGKILL);
  EXPECT_EQ(program.Wait(), 1);
  int ok_count = 0, failed_count = 0;
  const nlohmann::json document = FileJson(dir / "out.json");
  for (const nlohmann::json& row : document.at("rows")) {
    ok_count += row.at("status") == "ok" ? 1 : 0;
    if (row.at("status") != "failed") continue;
    ++failed_count;
    EXPECT_NE(row.at("reason").get<std::string>().find("KILL"), std::string::npos) << row.at("reason");
  }
  EXPECT_EQ(ok_count, 1);
  EXPECT_EQ(failed_count, 1);
}

class KvBenchSignal : public ::testing::TestWithParam<int> {};

TEST_P(KvBenchSignal, EndsTheRunAndLeavesNoWorker) {
  ScratchDir dir;
  Program program(Arguments(dir, {"--rounds=1000", "--allocators=malloc,hugepool-small"}));
  ASSERT_TRUE(program.WaitForError("round 1/1000 hugepool-small")) << program.error();
  const std::vector<pid_t> workers = program.Workers();
  ASSERT_EQ(workers.size(), 2u);
  kill(program.pid(), GetParam());
  EXPECT_EQ(program.Wait(), 128 + GetParam());
  for (const pid_t worker : workers) EXPECT_TRUE(IsGone(worker)) << worker;
  if (GetParam() != SIGKILL) {
    EXPECT_NE(program.error().find("interrupted"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Signals, KvBenchSignal, ::testing::Values(SIGINT, SIGTERM, SIGKILL),
                         [](const auto& parameter) { return "SIG" + std::string(sigabbrev_np(parameter.param)); });

TEST(KvBenchEnd, SignalWhileTheDatabaseIsMadeLeavesOneThatIsMadeAnew) {
  ScratchDir dir;
  const std::string db = "--db=" + (dir / "db");
  {
    Program program({db, "--records=3000000", "--rounds=1", "--allocators=malloc"});
    ASSERT_TRUE(program.WaitForError("making a database")) << program.error();
    kill(program.pid(), SIGINT);
    EXPECT_EQ(program.Wait(), 128 + SIGINT);
  }
  EXPECT_EQ(FileJson(dir / "db/KV_BENCH.json").at("complete"), false);
  std::ofstream(dir / "db/diary.txt") << "mine";
  const Outcome outcome = RunKvBench({db, "--json=" + (dir / "out.json"), "--records=500", "--rounds=1",
                                      "--seconds=0.1", "--warmup_most_seconds=0", "--allocators=malloc"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_EQ(FileJson(dir / "out.json").at("database").at("records"), 500);
  EXPECT_EQ(FileText(dir / "db/diary.txt"), "mine") << "only what RocksDB and kv_bench made may go";
}

}  // namespace
}  // namespace hugepool::testing
