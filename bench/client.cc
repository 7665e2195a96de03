#include "bench/client.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <utility>

namespace hugepool::bench {
namespace {

::rocksdb::Slice SliceOf(const Key& key) { return {key.bytes, kKeyBytes}; }

}  // namespace

Client::Client(::rocksdb::DB* db, const RecordSource* source, const Workload& workload, uint64_t seed, unsigned number,
               unsigned client_count)
    : db_(db),
      source_(source),
      workload_(workload),
      seed_(seed),
      number_(number),
      client_count_(client_count),
      chooser_(workload.distribution, source->record_count(), seed + number) {}

void Client::StartRound(unsigned round) { chooser_.draws() = Draws(MixBits(seed_ + round) + number_); }

bool Client::Fail(std::string problem) {
  if (problem_.empty()) problem_ = std::move(problem);
  return false;
}

uint64_t Client::ChooseIndex() {
  const uint64_t number = chooser_.Next(inserted_count_);
  return number < source_->record_count() ? number : InsertedIndex(number - source_->record_count());
}

bool Client::Operate() {
  unsigned draw = static_cast<unsigned>(chooser_.draws().Below(100));
  size_t operation = 0;
  while (draw >= workload_.percent[operation]) draw -= workload_.percent[operation++];
  switch (static_cast<Operation>(operation)) {
    case Operation::kGet: return Get(ChooseIndex());
    case Operation::kMultiGet: return MultiGet();
    case Operation::kScan: {
      const uint64_t span = workload_.scan_most - workload_.scan_least + 1;
      return Scan(ChooseIndex(), workload_.scan_least + chooser_.draws().Below(span));
    }
    case Operation::kUpdate: return Put(ChooseIndex(), NewVersion());
    case Operation::kInsert:
      if (!Put(InsertedIndex(inserted_count_), 0)) return false;
      ++inserted_count_;
      return true;
    case Operation::kReadModifyWrite: {
      const uint64_t index = ChooseIndex();
      return Get(index) && Put(index, NewVersion());
    }
  }
  return false;
}

bool Client::Verify(uint64_t index, const ::rocksdb::Status& status, const ::rocksdb::Slice& value) {
  if (!status.ok()) return Fail(fmt::format("record {}: read failed: {}", index, status.ToString()));
  ++verified_count_;
  if (source_->Matches(index, {value.data(), value.size()})) return true;
  return Fail(
      fmt::format("record {}: the value read ({} bytes) is not the value that its seed gives", index, value.size()));
}

bool Client::Get(uint64_t index) {
  const Key key = source_->MakeKey(index);
  got_.Reset();
  const ::rocksdb::Status status = db_->Get(read_options_, db_->DefaultColumnFamily(), SliceOf(key), &got_);
  const bool right = Verify(index, status, got_);
  got_.Reset();
  return right;
}

bool Client::Put(uint64_t index, uint64_t version) {
  if (version >= kVersionLimit) return Fail("more updates than versions; use fewer --seconds");
  source_->MakeValue(index, version, &value_);
  const ::rocksdb::Status status = db_->Put(write_options_, SliceOf(source_->MakeKey(index)), value_);
  return status.ok() || Fail(fmt::format("record {}: write failed: {}", index, status.ToString()));
}

bool Client::MultiGet() {
  std::array<uint64_t, kMultiGetCount> indexes;
  std::array<Key, kMultiGetCount> keys;
  std::array<::rocksdb::Slice, kMultiGetCount> slices;
  std::array<::rocksdb::PinnableSlice, kMultiGetCount> values;
  std::array<::rocksdb::Status, kMultiGetCount> statuses;
  for (size_t i = 0; i < kMultiGetCount; ++i) {
    indexes[i] = ChooseIndex();
    keys[i] = source_->MakeKey(indexes[i]);
    slices[i] = SliceOf(keys[i]);
  }
  db_->MultiGet(read_options_, db_->DefaultColumnFamily(), kMultiGetCount, slices.data(), values.data(),
                statuses.data());
  bool right = true;
  for (size_t i = 0; i < kMultiGetCount; ++i) right = Verify(indexes[i], statuses[i], values[i]) && right;
  return right;
}

bool Client::Scan(uint64_t first, uint64_t count) {
  const std::unique_ptr<::rocksdb::Iterator> cursor(db_->NewIterator(read_options_));
  cursor->Seek(SliceOf(source_->MakeKey(first)));
  uint64_t next = first;  // loaded record that has to come before any later one
  for (; count != 0 && cursor->Valid(); --count, cursor->Next()) {
    const auto index = source_->IndexOf({cursor->key().data(), cursor->key().size()});
    if (!index) return Fail(fmt::format("scan from record {}: a key that is none of the records'", first));
    if (*index < source_->record_count() && *index != next++) {
      return Fail(fmt::format("scan from record {}: record {} came in the place of {}", first, *index, next - 1));
    }
    if (!Verify(*index, cursor->status(), cursor->value())) return false;
  }
  if (!cursor->status().ok()) return Fail(fmt::format("scan from record {}: {}", first, cursor->status().ToString()));
  if (count != 0 && next != source_->record_count())
    return Fail(fmt::format("scan from record {}: ended early", first));
  return true;
}

}  // namespace hugepool::bench
