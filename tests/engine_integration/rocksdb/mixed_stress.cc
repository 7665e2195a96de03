#include "engine_integration/rocksdb/mixed_stress.h"

#include <hugepool/rocksdb.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr uint32_t kRecordCount = 60'000;  // of each database
constexpr size_t kLockCount = 1024;
constexpr size_t kPinnedCount = 24;  // by each worker
constexpr int kWorkerCount = 4;
constexpr size_t kLargestCacheBytes = 48 * kMiB;

enum Kind {
  kGet,
  kMultiGet,
  kScan,
  kPinnedScan,
  kPinnedKeys,
  kPut,
  kDelete,
  kPin,
  kResize,
  kEraseUnRef,
  kReopen,
  kKindCount
};
constexpr const char* kKindNames[] = {"get",    "multi_get", "scan",   "pinned_scan", "pinned_keys", "put",
                                      "delete", "pin",       "resize", "erase_unref", "reopen"};

std::string KeyOf(uint32_t record) {
  char key[16];
  std::snprintf(key, sizeof key, "r%08u", record);
  return key;
}

struct Header {
  uint32_t record = 0;
  uint32_t version = 0;
};

// 40 to 1,500 B, half of which compresses.
std::string ValueOf(uint32_t record, uint32_t version) {
  std::minstd_rand words(record * 2654435761U + version);
  std::string value(40 + words() % 1461, 'v');
  const Header header = {record, version};
  std::memcpy(value.data(), &header, sizeof header);
  for (size_t i = sizeof header; i < value.size() / 2; ++i) value[i] = static_cast<char>(words() >> 8);
  return value;
}

// The version that a value says, where all of it fits; nothing where not.
bool IsWhole(const ::rocksdb::Slice& value, uint32_t record, uint32_t* version) {
  Header header;
  if (value.size() < sizeof header) return false;
  std::memcpy(&header, value.data(), sizeof header);
  *version = header.version;
  return header.record == record && value == ::rocksdb::Slice(ValueOf(record, header.version));
}

// One database, and what should be in it.
struct Subject {
  std::string path;
  ::rocksdb::Options options;
  std::unique_ptr<::rocksdb::DB> db;  // guarded by open_lock, shared by those who use it
  std::shared_mutex open_lock;
  // 0: deleted. Guarded by the record's lock.
  std::vector<uint32_t> versions = std::vector<uint32_t>(kRecordCount);
  std::array<std::shared_mutex, kLockCount> locks;

  std::shared_mutex& LockOf(uint32_t record) { return locks[record % kLockCount]; }
  std::string Open() {
    ::rocksdb::DB* opened = nullptr;
    const ::rocksdb::Status status = ::rocksdb::DB::Open(options, path, &opened);
    db.reset(opened);
    return status.ok() ? "" : path + ": " + status.ToString();
  }
};

// A value that stays pinned, with the block that it lies in.
struct Pinned {
  ::rocksdb::PinnableSlice value;
  uint32_t record = 0;
  bool is_held = false;
};

class Stress {
 public:
  Stress(CacheKind kind, std::shared_ptr<::rocksdb::MemoryAllocator> allocator, uint64_t seed)
      : allocator_(std::move(allocator)), pool_(rocksdb::PoolOf(*allocator_)), seed_(seed) {
    cache_ = MakeCache(kind, kLargestCacheBytes, allocator_);
    for (size_t i = 0; i < subjects_.size(); ++i) {
      ::rocksdb::BlockBasedTableOptions table;
      table.block_cache = cache_;
      table.block_size = i == 0 ? 4096 : 16384;
      table.filter_policy.reset(::rocksdb::NewBloomFilterPolicy(10));
      table.cache_index_and_filter_blocks = true;
      table.use_delta_encoding = false;  // a pinned iterator's keys then lie in its blocks
      subjects_[i].path = dir_ / ("db" + std::to_string(i));
      subjects_[i].options.create_if_missing = true;
      subjects_[i].options.write_buffer_size = 2 * kMiB;
      subjects_[i].options.target_file_size_base = 4 * kMiB;
      subjects_[i].options.compression = i == 0 ? ::rocksdb::kNoCompression : ::rocksdb::kLZ4Compression;
      subjects_[i].options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
    }
  }

  std::string Run(double seconds, StressFigures* figures);

 private:
  using Words = std::mt19937_64;

  bool IsOver() const { return over_.load(std::memory_order_relaxed); }  // carries no data
  void Wrong(const std::string& what) {
    std::lock_guard lock(mutex_);
    if (problem_.empty()) problem_ = what;
    over_.store(true, std::memory_order_relaxed);
  }
  void Count(Kind kind) { counts_[kind].fetch_add(1, std::memory_order_relaxed); }

  void Work(int worker);
  void Operate(Subject* subject, Words* words, std::vector<Pinned>* pinned);
  void Get(Subject* subject, uint32_t record);
  void MultiGet(Subject* subject, Words* words);
  void Scan(Subject* subject, uint32_t record, bool is_pinned);
  void Write(Subject* subject, uint32_t record, bool is_delete);
  void Pin(Subject* subject, uint32_t record, Pinned* pinned);
  void Unpin(Pinned* pinned);
  void Resize();
  void Reopen();
  void Check(Subject* subject);

  const ScratchDir dir_;
  const std::shared_ptr<::rocksdb::MemoryAllocator> allocator_;
  const std::shared_ptr<Pool> pool_;
  const uint64_t seed_;
  std::shared_ptr<::rocksdb::Cache> cache_;
  std::array<Subject, 2> subjects_;
  std::atomic<bool> over_{false};
  std::array<std::atomic<uint64_t>, kKindCount> counts_{};
  std::atomic<uint64_t> verified_count_{0};
  std::mutex mutex_;
  std::string problem_;  // guarded by mutex_
};

void Stress::Get(Subject* subject, uint32_t record) {
  const std::shared_lock lock(subject->LockOf(record));
  std::string value;
  const ::rocksdb::Status status = subject->db->Get({}, KeyOf(record), &value);
  const uint32_t version = subject->versions[record];
  if (version == 0 ? !status.IsNotFound() : !status.ok() || value != ValueOf(record, version)) {
    Wrong(KeyOf(record) + ": version " + std::to_string(version) + " was written, read: " + status.ToString());
  }
  ++verified_count_;
}

void Stress::MultiGet(Subject* subject, Words* words) {
  constexpr size_t kKeys = 16;
  std::array<uint32_t, kKeys> records;
  std::array<std::string, kKeys> keys;
  std::array<::rocksdb::Slice, kKeys> slices;
  std::array<::rocksdb::PinnableSlice, kKeys> values;
  std::array<::rocksdb::Status, kKeys> statuses;
  for (size_t i = 0; i < kKeys; ++i) {
    records[i] = static_cast<uint32_t>((*words)() % kRecordCount);
    keys[i] = KeyOf(records[i]);
    slices[i] = keys[i];
  }
  subject->db->MultiGet({}, subject->db->DefaultColumnFamily(), kKeys, slices.data(), values.data(), statuses.data());
  uint32_t version = 0;
  for (size_t i = 0; i < kKeys; ++i) {
    const bool is_right = statuses[i].ok() ? IsWhole(values[i], records[i], &version) : statuses[i].IsNotFound();
    if (!is_right) Wrong("MultiGet of " + keys[i] + ": " + statuses[i].ToString());
    ++verified_count_;
  }
}

// A pinned one keeps its blocks while everything that nobody holds is thrown out of the cache.
void Stress::Scan(Subject* subject, uint32_t record, bool is_pinned) {
  ::rocksdb::ReadOptions options;
  options.pin_data = is_pinned;
  const std::unique_ptr<::rocksdb::Iterator> cursor(subject->db->NewIterator(options));
  std::vector<std::pair<::rocksdb::Slice, std::string>> seen;  // in the block, and as it was
  std::string before;
  cursor->Seek(KeyOf(record));
  for (int i = 0; i < 100 && cursor->Valid(); ++i, cursor->Next()) {
    if (is_pinned && i == 50 && record % 16 == 0) {
      cache_->EraseUnRefEntries();
      Count(kEraseUnRef);
    }
    const std::string key = cursor->key().ToString();
    uint32_t version = 0;
    if (key <= before || !IsWhole(cursor->value(), static_cast<uint32_t>(std::stoul(key.substr(1))), &version)) {
      Wrong("scan at " + key + " after " + before);
      return;
    }
    std::string is_key_pinned;
    cursor->GetProperty("rocksdb.iterator.is-key-pinned", &is_key_pinned).PermitUncheckedError();
    if (is_key_pinned == "1") seen.emplace_back(cursor->key(), key);
    before = key;
    ++verified_count_;
  }
  if (!cursor->status().ok()) Wrong("scan from " + KeyOf(record) + ": " + cursor->status().ToString());
  for (const auto& [key, was] : seen) {
    if (key != was) Wrong("a pinned key changed: " + was);
  }
  if (!seen.empty()) Count(kPinnedKeys);
}

void Stress::Write(Subject* subject, uint32_t record, bool is_delete) {
  const std::unique_lock lock(subject->LockOf(record));
  uint32_t& version = subject->versions[record];
  static std::atomic<uint32_t> last_version{0};
  const uint32_t next = is_delete ? 0 : ++last_version;
  const ::rocksdb::Status status =
      is_delete ? subject->db->Delete({}, KeyOf(record)) : subject->db->Put({}, KeyOf(record), ValueOf(record, next));
  if (!status.ok()) Wrong("write of " + KeyOf(record) + ": " + status.ToString());
  version = next;
}

void Stress::Unpin(Pinned* pinned) {
  uint32_t version = 0;
  if (pinned->is_held && !IsWhole(pinned->value, pinned->record, &version)) {
    Wrong("the pinned value of " + KeyOf(pinned->record) + " changed");
  }
  pinned->value.Reset();
  pinned->is_held = false;
  ++verified_count_;
}

void Stress::Pin(Subject* subject, uint32_t record, Pinned* pinned) {
  Unpin(pinned);
  const ::rocksdb::Status status =
      subject->db->Get({}, subject->db->DefaultColumnFamily(), KeyOf(record), &pinned->value);
  pinned->record = record;
  pinned->is_held = status.ok();
  if (!status.ok() && !status.IsNotFound()) Wrong("pin of " + KeyOf(record) + ": " + status.ToString());
}

void Stress::Operate(Subject* subject, Words* words, std::vector<Pinned>* pinned) {
  const std::shared_lock lock(subject->open_lock);
  const uint32_t record = static_cast<uint32_t>((*words)() % kRecordCount);
  const unsigned draw = static_cast<unsigned>((*words)() % 100);
  const Kind kind = draw < 50   ? kGet
                    : draw < 60 ? kMultiGet
                    : draw < 64 ? kScan
                    : draw < 65 ? kPinnedScan
                    : draw < 88 ? kPut
                    : draw < 92 ? kDelete
                                : kPin;
  switch (kind) {
    case kGet: Get(subject, record); break;
    case kMultiGet: MultiGet(subject, words); break;
    case kScan: Scan(subject, record, false); break;
    case kPinnedScan: Scan(subject, record, true); break;
    case kPut: Write(subject, record, false); break;
    case kDelete: Write(subject, record, true); break;
    default: Pin(subject, record, &(*pinned)[(*words)() % pinned->size()]); break;
  }
  Count(kind);
}

void Stress::Work(int worker) {
  Words words(seed_ + static_cast<uint64_t>(worker));
  std::vector<Pinned> pinned(kPinnedCount);
  while (!IsOver()) Operate(&subjects_[words() % subjects_.size()], &words, &pinned);
  for (Pinned& one : pinned) Unpin(&one);
}

void Stress::Resize() {
  Words words(seed_ + 100);
  while (!IsOver()) {
    cache_->SetCapacity(4 * kMiB + words() % (kLargestCacheBytes - 4 * kMiB));
    Count(kResize);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + words() % 200));
  }
}

// What the workers pinned stays: the cache outlives the database.
void Stress::Reopen() {
  while (!IsOver()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    Subject& subject = subjects_[1];
    const std::unique_lock lock(subject.open_lock);
    subject.db.reset();
    const std::string problem = subject.Open();
    if (!problem.empty()) {
      Wrong(problem);
      return;
    }
    Count(kReopen);
  }
}

// Every record of the database against the model.
void Stress::Check(Subject* subject) {
  for (uint32_t record = 0; record < kRecordCount; ++record) Get(subject, record);
}

std::string Stress::Run(double seconds, StressFigures* figures) {
  for (Subject& subject : subjects_) {
    const std::string problem = subject.Open();
    if (!problem.empty()) return problem;
    for (uint32_t record = 0; record < kRecordCount; ++record) Write(&subject, record, false);
  }
  std::vector<std::thread> threads;
  for (int worker = 0; worker < kWorkerCount; ++worker) threads.emplace_back([this, worker] { Work(worker); });
  threads.emplace_back([this] { Resize(); });
  threads.emplace_back([this] { Reopen(); });
  const auto start = std::chrono::steady_clock::now();
  double sums[2] = {}, counts[2] = {};
  while (!IsOver()) {
    const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / seconds;
    if (passed >= 1) break;
    const size_t half = passed < 9.0 / 16 ? 0 : 1;
    if (passed >= 1.0 / 8) {
      sums[half] += static_cast<double>(pool_->Stats().FootprintBytes());
      ++counts[half];
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  figures->first_half_bytes = sums[0] / std::max(1.0, counts[0]);
  figures->second_half_bytes = sums[1] / std::max(1.0, counts[1]);
  over_.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  if (problem_.empty()) {
    for (Subject& subject : subjects_) Check(&subject);
  }
  for (int kind = 0; kind < kKindCount; ++kind) {
    figures->operation_counts[kKindNames[kind]] = static_cast<double>(counts_[kind].load());
    if (counts_[kind].load() == 0 && problem_.empty()) problem_ = std::string("no operation was a ") + kKindNames[kind];
  }
  figures->verified_count = verified_count_.load();
  for (Subject& subject : subjects_) {
    subject.db.reset();
    subject.options.table_factory.reset();
  }
  cache_.reset();
  return problem_;
}

}  // namespace

std::string RunMixedStress(CacheKind kind, HugePages huge_pages, double seconds, uint64_t seed,
                           StressFigures* figures) {
  rocksdb::AllocatorOptions options;
  options.capacity_bytes = 4 * kLargestCacheBytes;
  options.huge_pages = huge_pages;
  options.decay_seconds = 1;
  options.watch_interval_seconds = 1;
  Error error;
  const auto allocator = rocksdb::NewMemoryAllocator(options, &error);
  if (allocator == nullptr) return error.ToString();
  const auto pool = rocksdb::PoolOf(*allocator);
  std::string problem = Stress(kind, allocator, seed).Run(seconds, figures);
  if (!problem.empty()) return problem;
  if (pool->Stats().allocated_count != 0) {
    return std::to_string(pool->Stats().allocated_count) + " blocks were not given back";
  }
  if (rocksdb::Fallback(*allocator)->count != 0) return "malloc served in the pool's place";
  return pool->CheckInvariants(&problem) ? "" : problem;
}

}  // namespace hugepool::testing
