// Client: the operations of one thread, each checked: what comes back has to be what some write put there.
//
// Shape      records of RecordSource. An update gives its record a version that no other client gives; an insert makes the
//            next record of this client's own: of T clients client t inserts record_count + t, + t + T, + t + 2 T, ….
//            A scan has to find every loaded record between its ends, in the order of the keys
// Threads    one owner; clients share the database and the source
// Errors     an operation returns false once something is wrong, and problem() says what
// Cost       beside the operation: one or two draws, one memcmp for each value
#ifndef HUGEPOOL_BENCH_CLIENT_H_
#define HUGEPOOL_BENCH_CLIENT_H_

#include <rocksdb/db.h>

#include <cstdint>
#include <string>

#include "bench/key_chooser.h"
#include "bench/record_source.h"
#include "bench/workload.h"

namespace hugepool::bench {

class Client {
 public:
  Client(::rocksdb::DB* db, const RecordSource* source, const Workload& workload, uint64_t seed, unsigned number,
         unsigned client_count);

  // The choices of this round, the same for every allocator.
  void StartRound(unsigned round);

  // The next operation of the workload.
  bool Operate();
  // A loaded record.
  bool Get(uint64_t index);
  bool GetAny() { return Get(chooser_.draws().Below(source_->record_count())); }
  bool UpdateAny() { return Put(chooser_.draws().Below(source_->record_count()), NewVersion()); }

  uint64_t verified_count() const { return verified_count_; }  // values compared so far
  const std::string& problem() const { return problem_; }
  Draws& draws() { return chooser_.draws(); }

 private:
  uint64_t ChooseIndex();
  uint64_t InsertedIndex(uint64_t k) const { return source_->record_count() + k * client_count_ + number_; }
  uint64_t NewVersion() { return ++write_count_ * client_count_ + number_; }
  bool Put(uint64_t index, uint64_t version);
  bool MultiGet();
  bool Scan(uint64_t first, uint64_t count);
  bool Verify(uint64_t index, const ::rocksdb::Status& status, const ::rocksdb::Slice& value);
  bool Fail(std::string problem);

  ::rocksdb::DB* const db_;
  const ::rocksdb::ReadOptions read_options_;
  const ::rocksdb::WriteOptions write_options_;
  const RecordSource* const source_;
  const Workload& workload_;
  const uint64_t seed_;
  const uint64_t number_;
  const uint64_t client_count_;

  KeyChooser chooser_;
  ::rocksdb::PinnableSlice got_;
  std::string value_;  // to write
  uint64_t write_count_ = 0;
  uint64_t inserted_count_ = 0;
  uint64_t verified_count_ = 0;
  std::string problem_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_CLIENT_H_
