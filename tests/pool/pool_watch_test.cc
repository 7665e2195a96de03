// PoolWatch: the file is whole at any time and new at each look; an episode is told of once; what is refused is said; a child
// writes nothing and waits for nobody. The files are real where not said otherwise; the time between looks is made up.
#include "hugepool/pool_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "pool/four_nodes.h"
#include "pool/watch_core.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Intervals pass when the test says so; calls fail when told to.
class MadeUpTime : public internal::OsWatch {
 public:
  int Wait(pollfd* files, size_t count, int timeout_ms) override {
    last_timeout_ms = timeout_ms;
    ++wait_count;
    while (true) {
      const int refused = OsWatch::Wait(files, count, 1);
      if (refused != 0 || files[0].revents != 0) return refused;
      if (tick_count == 0) continue;
      --tick_count;
      return 0;
    }
  }
  int MakeBell(int* file) override { return bell_errno != 0 ? bell_errno : OsWatch::MakeBell(file); }
  int StartThread(void* (*body)(void*), void* argument, const char* name, pthread_t* thread) override {
    return thread_errno != 0 ? thread_errno : OsWatch::StartThread(body, argument, name, thread);
  }
  int ReplaceFile(const std::string& path, const std::string& text) override {
    ++replace_count;
    return replace_errno != 0 ? replace_errno.load() : OsWatch::ReplaceFile(path, text);
  }
  // One interval passes, and the look at its end.
  void PassInterval() {
    const auto wait_for = [&](int count) {
      while (wait_count < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    wait_for(1);
    const int before = wait_count;
    ++tick_count;
    wait_for(before + 1);
  }

  std::atomic<int> last_timeout_ms{0};
  std::atomic<int> tick_count{0};
  std::atomic<int> wait_count{0};
  std::atomic<int> replace_count{0};
  std::atomic<int> replace_errno{0};
  int bell_errno = 0;
  int thread_errno = 0;
};

class PoolWatchTest : public ::testing::Test {
 protected:
  PoolWatchTest() {
    options_.file = folder_ + "/pool.prom";
    options_.on_warning = [this](const std::string& warning) { warnings_.push_back(warning); };
  }

  // Half of its pages are hugetlb.
  void MakePool(PoolOptions options = {}) {
    options.capacity_bytes = 16 * kMiB;
    options.name = "watched";
    pool_ = ::hugepool::testing::MakePool(options, machine_, FourNodes());
  }
  std::unique_ptr<PoolWatch> Start() { return internal::StartPoolWatch(pool_, options_, os_, &error_); }
  std::string Written() const { return FileText(options_.file); }
  size_t FileCount() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++count;
    return count;
  }

  MadeUpTime os_;
  SimulatedOs machine_{EachNode(4, 256 * kMiB)};
  std::shared_ptr<Pool> pool_;
  const ScratchDir scratch_;
  const std::string& folder_ = scratch_.path();
  PoolWatchOptions options_;
  std::vector<std::string> warnings_;  // written by the writer's thread, between the looks for which the test waits
  Error error_;
};

TEST_F(PoolWatchTest, TheFileIsThereAtOnceNewAtEachLookAndAtTheEnd) {
  MakePool();
  options_.interval_seconds = 7;
  auto writer = Start();
  ASSERT_NE(writer, nullptr) << error_.ToString();
  EXPECT_THAT(Written(), HasSubstr("hugepool_allocated_blocks{pool=\"watched\"} 0\n"));
  void* const first = pool_->Allocate(4096);
  os_.PassInterval();
  EXPECT_EQ(os_.last_timeout_ms, 7000);
  EXPECT_THAT(Written(), HasSubstr("hugepool_allocated_blocks{pool=\"watched\"} 1\n"));
  void* const second = pool_->Allocate(4096);
  EXPECT_TRUE(writer->LookNow(&error_));
  EXPECT_THAT(Written(), HasSubstr("hugepool_allocated_blocks{pool=\"watched\"} 2\n"));
  pool_->Deallocate(first);
  pool_->Deallocate(second);
  writer.reset();
  EXPECT_EQ(Written(), pool_->Stats().ToPrometheus());
  EXPECT_EQ(FileCount(), 1u) << "what it wrote by way of is still there";
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(PoolWatchTest, ThePoolIsTendedAtEachLook) {
  PoolOptions options;
  options.cpu_cache = CpuCacheMode::kOff;
  MakePool(options);
  const auto watch = Start();
  ASSERT_NE(watch, nullptr);
  SimulatedOs::SetCpu(0);
  std::vector<void*> blocks(2048);
  for (void*& block : blocks) block = pool_->Allocate(4096);
  for (void* const block : blocks) pool_->Deallocate(block);
  const uint64_t before = pool_->Stats().committed_bytes;
  for (int i = 0; i < 3; ++i) {
    machine_.AdvanceNs(uint64_t{1'000'000'000} * pool_->options().decay_seconds);
    os_.PassInterval();
  }
  EXPECT_LT(pool_->Stats().committed_bytes, before) << "pages that stood empty are still there";
}

TEST_F(PoolWatchTest, FurtherTextStandsBehindThePoolsOwn) {
  MakePool();
  options_.more_text = [] { return std::string("engine_reads_total 5\n"); };
  ASSERT_NE(Start(), nullptr);
  EXPECT_EQ(Written(), pool_->Stats().ToPrometheus() + "engine_reads_total 5\n");
}

TEST_F(PoolWatchTest, AFurtherComplaintIsAnEpisodeLikeTheOthers) {
  MakePool();
  std::atomic<int> complaint{0};
  options_.more_complaint = [&] {
    return complaint == 0 ? std::string() : "the engine is " + std::to_string(complaint);
  };
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  complaint = 1;
  os_.PassInterval();
  complaint = 2;
  os_.PassInterval();
  EXPECT_THAT(warnings_, ElementsAre("the engine is 1"));
  complaint = 0;
  os_.PassInterval();
  complaint = 3;
  os_.PassInterval();
  EXPECT_THAT(warnings_, ElementsAre("the engine is 1", "the engine is 3"));
}

// Whoever reads while it is written sees a whole text, of one look or the next.
TEST_F(PoolWatchTest, NobodySeesHalfAFile) {
  MakePool();
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  std::atomic<bool> done{false};
  std::thread looker([&] {
    Error error;
    while (!done) EXPECT_TRUE(writer->LookNow(&error)) << error.ToString();
  });
  const std::string whole = pool_->Stats().ToPrometheus();
  int half_count = 0;
  for (int i = 0; i < 2000; ++i) half_count += Written() == whole ? 0 : 1;
  done = true;
  looker.join();
  EXPECT_EQ(half_count, 0);
}

TEST_F(PoolWatchTest, ADegradedEpisodeIsToldOfOnceAndAgainWhenItComesBack) {
  MakePool();
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  SimulatedOs::SetCpu(0);
  machine_.SetFreeHugePages(0, 0);
  for (const int node_id : {1, 4, 7}) machine_.SetFreeHugePages(node_id, 0);
  void* block = pool_->Allocate(4 * kMiB);
  ASSERT_NE(block, nullptr);
  for (int i = 0; i < 3; ++i) os_.PassInterval();
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("pool 'watched'"), HasSubstr("4 MiB lie on a lower rung"),
                                           HasSubstr("huge_pages=preferred"), HasSubstr("node 0: 4 MiB"),
                                           HasSubstr("hugepool check --need 16M"))));
  pool_->Deallocate(block);
  (void)pool_->Trim(0);
  os_.PassInterval();
  EXPECT_THAT(warnings_, SizeIs(1)) << "the end of an episode is no news";
  block = pool_->Allocate(4 * kMiB);
  os_.PassInterval();
  os_.PassInterval();
  EXPECT_THAT(warnings_, SizeIs(2));
  pool_->Deallocate(block);
}

TEST_F(PoolWatchTest, DeparturesAreToldOfWhileTheyGoOnOnce) {
  MakePool();
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  SimulatedOs::SetCpu(0);
  machine_.SetFreeHugePages(0, 0);
  machine_.SetSmallBytes(0, 0);
  std::vector<void*> blocks;
  const auto depart = [&] {
    blocks.push_back(pool_->Allocate(2 * kMiB));
    os_.PassInterval();
  };
  depart();
  depart();
  EXPECT_THAT(warnings_,
              ElementsAre(AllOf(HasSubstr("1 allocations got another node's memory"), HasSubstr("node 0: 1"))));
  os_.PassInterval();
  depart();
  EXPECT_THAT(warnings_, SizeIs(2)) << "a look that found none ended the first episode";
  for (void* const block : blocks) pool_->Deallocate(block);
}

TEST_F(PoolWatchTest, AFileThatCannotBeWrittenIsToldOfOnceAndTriedAgain) {
  MakePool();
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  const std::string before = Written();
  void* const block = pool_->Allocate(4096);
  os_.replace_errno = ENOSPC;
  os_.PassInterval();
  os_.PassInterval();
  EXPECT_EQ(Written(), before);
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(options_.file), HasSubstr("No space left"))));
  EXPECT_FALSE(writer->LookNow(&error_));
  EXPECT_EQ(error_.errno_value, ENOSPC);
  os_.replace_errno = 0;
  os_.PassInterval();
  EXPECT_NE(Written(), before) << "what was allocated meanwhile is not in it";
  EXPECT_THAT(warnings_, SizeIs(1));
  pool_->Deallocate(block);
}

TEST_F(PoolWatchTest, WithoutAFileItOnlyWarns) {
  options_.file.clear();
  MakePool();
  const auto writer = Start();
  ASSERT_NE(writer, nullptr);
  for (const int node_id : {0, 1, 4, 7}) machine_.SetFreeHugePages(node_id, 0);
  void* const block = pool_->Allocate(4 * kMiB);
  EXPECT_TRUE(writer->LookNow(nullptr));
  EXPECT_THAT(warnings_, SizeIs(1));
  EXPECT_EQ(FileCount(), 0u);
  EXPECT_EQ(os_.replace_count, 0);
  pool_->Deallocate(block);
}

TEST_F(PoolWatchTest, WhatIsRefusedIsSaidAndNothingIsLeft) {
  MakePool();
  const auto refused = [&](const char* what, const char* mend) {
    EXPECT_EQ(Start(), nullptr);
    EXPECT_THAT(error_.ToString(), AllOf(HasSubstr(what), HasSubstr(mend)));
    error_ = {};
  };
  const std::string file = options_.file;
  options_.interval_seconds = 0;
  refused("interval_seconds = 0", "1 to 3600");
  options_.interval_seconds = 3601;
  refused("interval_seconds = 3601", "1 to 3600");
  options_.interval_seconds = 1;
  options_.file = std::string("a\0b", 3);
  refused("0 byte", "a path");
  options_.file = folder_ + "/not_there/pool.prom";
  refused("/not_there/pool.prom", "may write");
  std::filesystem::create_directory(folder_ + "/folder");
  options_.file = folder_ + "/folder";
  refused("/folder'", "may write");
  options_.file = file;
  os_.bell_errno = EMFILE;
  refused("thread that writes statistics", "ulimit -n");
  os_.bell_errno = 0;
  os_.thread_errno = EAGAIN;
  refused("thread that writes statistics", "ulimit -u");
  os_.thread_errno = 0;
  EXPECT_EQ(internal::StartPoolWatch(nullptr, options_, os_, &error_), nullptr);
  EXPECT_THAT(error_.ToString(), HasSubstr("pool is null"));
  EXPECT_EQ(internal::StartPoolWatch(nullptr, options_, os_, nullptr), nullptr);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_EQ(pool_.use_count(), 1) << "a refused writer keeps the pool";
}

TEST_F(PoolWatchTest, AChildWritesNothingAndWaitsForNobody) {
  PoolOptions options;
  options.capacity_bytes = 16 * kMiB;
  options.huge_pages = HugePages::kOff;
  pool_ = Pool::Create(options, &error_);
  ASSERT_NE(pool_, nullptr) << error_.ToString();
  auto writer = Start();
  ASSERT_NE(writer, nullptr) << error_.ToString();
  std::filesystem::remove(options_.file);
  const pid_t child = fork();
  if (child == 0) {
    Error error;
    const bool looked = writer->LookNow(&error);
    writer.reset();
    const bool made_another = PoolWatch::Start(pool_, options_, &error) != nullptr;
    _exit(looked || made_another || std::filesystem::exists(options_.file) ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  os_.PassInterval();
  EXPECT_TRUE(std::filesystem::exists(options_.file)) << "the child ended the parent's thread";
}

}  // namespace
}  // namespace hugepool::testing
