// BoostPoolSubject: boost::pool, one for each handle, on glibc's malloc. It is meant for one thread.
//
// Owner      the handle owns its pool; blocks go with it
// Threads    one
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_BOOST_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_BOOST_SUBJECT_H_

#include <boost/pool/pool.hpp>
#include <memory>
#include <optional>
#include <string>

#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

struct BoostPoolSubject {
  static constexpr bool kThreads = false;
  static constexpr bool kAcrossThreads = false;
  static constexpr bool kAnySize = false;
  static constexpr bool kGrows = true;

  class Handle {
   public:
    explicit Handle(size_t bytes) : pool_(std::make_unique<boost::pool<>>(bytes)) {}
    void* Allocate(size_t) { return pool_->malloc(); }
    void Deallocate(void* block, size_t) { pool_->free(block); }

   private:
    std::unique_ptr<boost::pool<>> pool_;
  };

  BoostPoolSubject(const SubjectOptions&, std::string*) {}
  std::optional<Handle> MakeHandle(const BlockDemand& demand, std::string*) { return Handle(demand.most_bytes); }
  const Pool* pool() const { return nullptr; }
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_BOOST_SUBJECT_H_
