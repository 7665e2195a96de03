// Clients: the threads of one worker that work on the database and check every value.
//
// Shape      threads that live as long as the worker. A round: all start together, operate while the clock runs
//            (measured), operate on while memory is looked at (not measured), stop. A fill: a list of records is read
//            once. A churn: uniform records are read until somebody says enough. A workload with a paced writer has
//            one more thread, which is a part of the rounds only
// Units      nanoseconds, seconds
// Owner      the worker; the database outlives the clients
// Threads    all calls from one thread; phase_ is what the clients look at before each operation (relaxed: it carries no
//            data; results are handed over under mutex_)
// Errors     an operation that fails or a value that differs ends the round; Problem says which record
// Cost       beside the operation: two clock reads for every kSamplePeriod-th one, or for each with a rate
#ifndef HUGEPOOL_BENCH_CLIENTS_H_
#define HUGEPOOL_BENCH_CLIENTS_H_

#include <rocksdb/db.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/client.h"
#include "bench/latency_histogram.h"
#include "bench/record_source.h"
#include "bench/workload.h"

namespace hugepool::bench {

struct ClientLoad {
  const Workload* workload = nullptr;
  unsigned thread_count = 1;
  uint64_t seed = 1;
  // Operations a second of all threads, at moments that are drawn beforehand (a Poisson process) whatever the database does;
  // latency counts from the moment at which an operation was due. 0: each thread's next one follows the last.
  double rate = 0;
  double write_rate = 0;  // updates a second of the paced writer
};

struct RoundResult {
  uint64_t operation_count = 0;      // within the measured time, without the paced writer's
  uint64_t verified_count = 0;       // values compared, outside of it too
  double operations_per_second = 0;  // sum over the threads, each by its own clock
  double paced_writes_per_second = 0;
  uint64_t hit_count = 0;  // of blocks looked for in the cache
  uint64_t miss_count = 0;
  LatencyHistogram latency;
};

class Clients {
 public:
  Clients(::rocksdb::DB* db, const RecordSource* source, const ClientLoad& load);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // Reads one record in every `stride`, in an order that the seed scatters, shared out over the threads.
  void Fill(uint64_t stride);

  // Uniform reads until enough() or a problem; asks about every 20 ms.
  void Churn(const std::function<bool()>& enough);

  // `tick` is called about every 250 ms of the measured time, `tail` once after it, while the clients operate on.
  RoundResult Round(unsigned round, double seconds, const std::function<void()>& tick,
                    const std::function<void()>& tail);

  // "" while everything was right.
  std::string Problem() const;

  static constexpr unsigned kSamplePeriod = 8;

 private:
  enum class Phase : uint8_t { kIdle, kFill, kChurn, kMeasure, kTail, kQuit };
  using Clock = std::chrono::steady_clock;

  void ThreadMain(unsigned number);
  void FillShare(Client* client, unsigned number);
  void ChurnShare(Client* client);
  RoundResult OperateShare(Client* client, bool is_paced_writer);
  bool IsIn(Phase phase) const;
  bool WaitFor(Clock::time_point due, Phase phase) const;
  void SetProblem(const std::string& problem);
  void Start(Phase phase);
  void WaitUntilAllDone();
  bool AllAreDone() const { return done_count_ == threads_.size(); }

  ::rocksdb::DB* const db_;
  const RecordSource* const source_;
  const ClientLoad load_;

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

#endif  // HUGEPOOL_BENCH_CLIENTS_H_
