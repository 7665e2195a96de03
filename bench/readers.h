// Readers: the threads of one worker that read records and check every value.
//
// Shape      threads that live as long as the worker. A round: all start together, read while the clock runs
//            (measured), read on while memory is looked at (not measured), stop. A fill: a list of records is read
//            once
// Units      nanoseconds, seconds
// Owner      the worker; the database outlives the readers
// Threads    Fill and Round from one thread; phase_ is what the readers look at before each read (relaxed: it carries
//            no data; results are handed over under mutex_)
// Errors     a read that fails or a value that differs ends the round; Problem says which record
// Cost       beside the read: one draw, one memcmp, two clock reads for every kSamplePeriod-th read
#ifndef HUGEPOOL_BENCH_READERS_H_
#define HUGEPOOL_BENCH_READERS_H_

#include <rocksdb/db.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/key_chooser.h"
#include "bench/latency_histogram.h"
#include "bench/record_source.h"

namespace hugepool::bench {

struct RoundResult {
  uint64_t read_count = 0;      // within the measured time
  uint64_t verified_count = 0;  // the same, and those outside of it
  double reads_per_second = 0;  // sum over the threads, each by its own clock
  uint64_t hit_count = 0;       // of blocks looked for in the cache
  uint64_t miss_count = 0;
  LatencyHistogram latency;
};

class Readers {
 public:
  Readers(::rocksdb::DB* db, const RecordSource* source, Workload workload, uint64_t record_count, uint64_t seed,
          unsigned thread_count);
  ~Readers();
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Reads one record in every `stride`, in a random order that the seed gives, shared out over the threads.
  void Fill(uint64_t stride);

  // `tick` is called about every 250 ms of the measured time, `tail` once after it, while the readers read on.
  RoundResult Round(unsigned round, double seconds, const std::function<void()>& tick,
                    const std::function<void()>& tail);

  // "" while every read was right.
  std::string Problem() const;

  static constexpr unsigned kSamplePeriod = 8;

 private:
  enum class Phase : uint8_t { kIdle, kFill, kMeasure, kTail, kQuit };

  void ThreadMain(unsigned thread);
  void FillShare(unsigned thread);
  RoundResult ReadShare(unsigned thread);
  bool ReadOne(uint64_t index, ::rocksdb::PinnableSlice* value);
  void SetProblem(const std::string& problem);
  void Start(Phase phase);
  void WaitUntilAllDone();

  ::rocksdb::DB* const db_;
  const ::rocksdb::ReadOptions read_options_;
  const RecordSource* const source_;
  const Workload workload_;
  const uint64_t record_count_;
  const uint64_t seed_;

  std::atomic<Phase> phase_{Phase::kIdle};
  std::atomic<bool> failed_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t generation_ = 0;  // guarded by mutex_, as all below
  unsigned done_count_ = 0;
  unsigned round_ = 0;
  uint64_t stride_ = 1;
  RoundResult sum_;
  std::string problem_;

  std::vector<std::thread> threads_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_READERS_H_
