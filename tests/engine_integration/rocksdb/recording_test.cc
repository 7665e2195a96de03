// AllocatorOptions::record_sizes: every call is in the file, in order; what ends a recording does not end the engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/allocation_trace.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/convenience.h>
#include <rocksdb/utilities/object_registry.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

std::vector<uint64_t> EventsOf(const std::string& file) {
  std::string_view bytes = file;
  EXPECT_TRUE(bytes.starts_with(rocksdb::kTraceMagic));
  bytes.remove_prefix(std::min(bytes.size(), rocksdb::kTraceMagic.size()));
  std::vector<uint64_t> events;
  while (!bytes.empty()) {
    uint64_t event = 0;
    const size_t taken = rocksdb::DecodeTraceEvent(bytes, &event);
    if (taken == 0) {
      ADD_FAILURE() << "an event that is not whole, " << bytes.size() << " B before the end";
      break;
    }
    events.push_back(event);
    bytes.remove_prefix(taken);
  }
  return events;
}

class Recording : public ::testing::Test {
 protected:
  std::shared_ptr<::rocksdb::MemoryAllocator> Make(size_t capacity_bytes = 64 * kMiB) {
    rocksdb::AllocatorOptions options;
    options.capacity_bytes = capacity_bytes;
    options.huge_pages = HugePages::kOff;
    options.record_sizes = path_;
    options.on_warning = [this](const std::string& warning) { warnings_.push_back(warning); };
    Error error;
    auto allocator = rocksdb::NewMemoryAllocator(options, &error);
    problem_ = error.ToString();
    return allocator;
  }

  const ScratchDir dir_;
  std::string path_ = dir_ / "sizes";
  std::string problem_;
  std::vector<std::string> warnings_;
};

TEST(AllocationTrace, NumbersOfAnySizeComeBack) {
  for (const uint64_t event : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{8192}, UINT64_MAX}) {
    char bytes[rocksdb::kTraceEventMostBytes];
    const size_t count = rocksdb::EncodeTraceEvent(event, bytes);
    uint64_t read = 1;
    EXPECT_EQ(rocksdb::DecodeTraceEvent({bytes, count}, &read), count);
    EXPECT_EQ(read, event);
    EXPECT_EQ(rocksdb::DecodeTraceEvent({bytes, count - 1}, &read), 0u) << "cut off";
  }
  uint64_t read = 0;
  EXPECT_EQ(rocksdb::DecodeTraceEvent(std::string(20, '\xff'), &read), 0u);
}

TEST_F(Recording, EachCallIsAnEvent) {
  auto allocator = Make();
  ASSERT_NE(allocator, nullptr) << problem_;
  void* const first = allocator->Allocate(4112);
  void* const second = allocator->Allocate(100);
  allocator->Deallocate(first);
  void* const large = allocator->Allocate(256 * kMiB);  // malloc's, and yet the engine's
  allocator->Deallocate(large);
  allocator->Deallocate(second);
  allocator->Deallocate(nullptr);
  allocator.reset();
  EXPECT_THAT(EventsOf(FileText(path_)),
              ElementsAre(2 * 4112, 2 * 100, 2 * 2 + 1, 2 * 256 * kMiB, 2 * 1 + 1, 2 * 2 + 1));
  EXPECT_TRUE(warnings_.empty());
}

// The events, played on a model, come to what the allocator says at the end.
TEST_F(Recording, ARealDatabasesBlocksAreAllThere) {
  RealDatabase database(20'000);
  ASSERT_EQ(database.Create(), "");
  auto allocator = Make();
  ASSERT_NE(allocator, nullptr) << problem_;
  auto cache = MakeCache(CacheKind::kLru, 2 * kMiB, allocator);
  ASSERT_EQ(database.Open(cache), "");
  ASSERT_EQ(database.ReadAtRandom(4, 10'000), "");
  database.Close();
  cache.reset();
  const uint64_t allocation_count = *rocksdb::AllocationCount(*allocator);
  allocator.reset();
  std::vector<bool> live;
  size_t live_count = 0, most_live_count = 0;
  for (const uint64_t event : EventsOf(FileText(path_))) {
    if (event % 2 == 0) {
      live.push_back(true);
      most_live_count = std::max(most_live_count, ++live_count);
      continue;
    }
    const uint64_t age = event / 2;
    ASSERT_TRUE(age >= 1 && age <= live.size());
    ASSERT_TRUE(live[live.size() - age]) << "freed twice";
    live[live.size() - age] = false;
    --live_count;
  }
  EXPECT_EQ(live.size(), allocation_count);
  EXPECT_EQ(live_count, 0u);
  EXPECT_GT(most_live_count, 2 * kMiB / 4200) << "a full cache";
}

TEST_F(Recording, ByTextToo) {
  rocksdb::RegisterHugepool(*::rocksdb::ObjectLibrary::Default(), "");
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator;
  ::rocksdb::ConfigOptions config;
  config.ignore_unsupported_options = false;
  const ::rocksdb::Status status = ::rocksdb::MemoryAllocator::CreateFromString(
      config, "id=HugepoolAllocator; capacity=64M; huge_pages=off; record_sizes=" + path_, &allocator);
  ASSERT_TRUE(status.ok()) << status.ToString();
  std::string value;
  ASSERT_TRUE(allocator->GetOption(config, "record_sizes", &value).ok());
  EXPECT_EQ(value, path_);
  allocator->Deallocate(allocator->Allocate(10));
  allocator.reset();
  EXPECT_THAT(EventsOf(FileText(path_)), ElementsAre(20, 3));
}

TEST_F(Recording, AFileThatCannotBeMadeGivesNoAllocator) {
  path_ = dir_ / "none/sizes";
  EXPECT_EQ(Make(), nullptr);
  EXPECT_THAT(problem_, HasSubstr("none/sizes"));
}

TEST_F(Recording, AFullDiskEndsItAndIsToldOnce) {
  path_ = "/dev/full";
  auto allocator = Make();
  ASSERT_NE(allocator, nullptr) << problem_;
  for (int i = 0; i < 100'000; ++i) allocator->Deallocate(allocator->Allocate(100));
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("/dev/full cannot be written"));
  EXPECT_EQ(rocksdb::Fallback(*allocator)->count, 0u);
}

TEST_F(Recording, AChildWritesNothing) {
  auto allocator = Make();
  ASSERT_NE(allocator, nullptr) << problem_;
  void* const block = allocator->Allocate(100);
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 100'000; ++i) allocator->Deallocate(allocator->Allocate(50));
    allocator.reset();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  allocator->Deallocate(block);
  allocator.reset();
  EXPECT_THAT(EventsOf(FileText(path_)), ElementsAre(200, 3));
}

}  // namespace
}  // namespace hugepool::testing
