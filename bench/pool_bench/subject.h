// Subject: one allocator under test, as the loops see it. A loop takes it as a template parameter, so that no virtual
// call stands between the loop and the allocator.
//
// Shape      a subject is made once a process (in growth and footprint: by the loop); each thread of a loop takes a Handle
//            from it, moves it into a local variable, and calls Allocate(bytes) and Deallocate(block, bytes)
// Units      bytes
// Owner      the subject outlives its handles
// Threads    MakeHandle from any thread, a handle from one at a time
// Errors     a constructor and MakeHandle fill *problem; Allocate returns nullptr
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_H_

#include <hugepool/types.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace hugepool {
class Pool;
}  // namespace hugepool

namespace hugepool::bench {

struct SubjectOptions {
  HugePages huge_pages = HugePages::kTransparent;
  size_t capacity_bytes = 0;  // of a pool
  PopulateAtStart populate_at_start = PopulateAtStart::kNone;
};

// What one handle is going to be asked for.
struct BlockDemand {
  size_t most_bytes = 0;  // of one block; of every block where the subject has one size
  size_t live_count = 0;  // blocks that live at once, at most
};

template <typename S>
concept Subject = requires(S subject, typename S::Handle handle, const SubjectOptions& options,
                           const BlockDemand& demand, std::string* problem, void* block, size_t bytes) {
  { S::kThreads } -> std::convertible_to<bool>;        // several threads at once, each with its handle
  { S::kAcrossThreads } -> std::convertible_to<bool>;  // a block may be freed through another thread's handle
  { S::kAnySize } -> std::convertible_to<bool>;        // one handle serves every size
  { S::kGrows } -> std::convertible_to<bool>;          // it gets its memory while it is used
  S(options, problem);
  { subject.MakeHandle(demand, problem) } -> std::same_as<std::optional<typename S::Handle>>;
  { handle.Allocate(bytes) } -> std::same_as<void*>;
  handle.Deallocate(block, bytes);
  { subject.pool() } -> std::convertible_to<const Pool*>;  // nullptr where there is none
};

// The subject of this process: made when the first loop needs it.
template <Subject S>
class SubjectBox {
 public:
  explicit SubjectBox(const SubjectOptions& options) : options_(options) {}

  // nullptr and *problem filled when it cannot be made.
  S* Get(std::string* problem) {
    std::lock_guard lock(mutex_);
    if (subject_ == nullptr && problem_.empty()) {
      subject_ = std::make_unique<S>(options_, &problem_);
      if (!problem_.empty()) subject_.reset();
    }
    *problem = problem_;
    return subject_.get();
  }
  const SubjectOptions& options() const { return options_; }

 private:
  const SubjectOptions options_;
  std::mutex mutex_;
  std::unique_ptr<S> subject_;  // guarded by mutex_, as problem_ is
  std::string problem_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_H_
