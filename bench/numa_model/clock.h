// Clock, Task: simulated time, and coroutines that live in it.
//
// Shape      a Task is a coroutine that starts when somebody waits for it, or when it is started; a Clock resumes whoever
//            waits for a time, in the order of times, those of one time in the order in which they began to wait
// Units      nanoseconds of simulated time
// Owner      a Task owns its coroutine, and with its locals every Task that it waits for; tasks end before their Clock
// Threads    one owner; nothing here runs at the same time
// Cost       one step of a heap a wait
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_CLOCK_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_CLOCK_H_

#include <coroutine>
#include <cstdint>
#include <exception>
#include <queue>
#include <utility>
#include <vector>

namespace hugepool::bench {

class [[nodiscard]] Task {
 public:
  struct promise_type {
    std::coroutine_handle<> waiting = std::noop_coroutine();

    struct End {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        return ended.promise().waiting;
      }
      void await_resume() noexcept {}
    };
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    End final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  // Runs it to its first wait.
  void Start() { coroutine_.resume(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
    coroutine_.promise().waiting = waiting;
    return coroutine_;
  }
  void await_resume() noexcept {}

 private:
  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
  std::coroutine_handle<promise_type> coroutine_;
};

class Clock {
 public:
  double now_ns() const { return now_ns_; }

  struct Wait {
    Clock& clock;
    double duration_ns;
    bool await_ready() const noexcept { return duration_ns <= 0; }
    void await_suspend(std::coroutine_handle<> waiting) { clock.ResumeAfter(duration_ns, waiting); }
    void await_resume() const noexcept {}
  };
  Wait Delay(double duration_ns) { return {*this, duration_ns}; }

  void ResumeAfter(double duration_ns, std::coroutine_handle<> waiting) {
    events_.push({now_ns_ + duration_ns, next_number_++, waiting});
  }

  // Until that time, or until nobody waits any more.
  void RunUntil(double end_ns) {
    while (!events_.empty() && events_.top().at_ns <= end_ns) {
      const Event event = events_.top();
      events_.pop();
      now_ns_ = event.at_ns;
      event.waiting.resume();
    }
  }

 private:
  struct Event {
    double at_ns;
    uint64_t number;
    std::coroutine_handle<> waiting;
    bool operator>(const Event& other) const {
      return at_ns != other.at_ns ? at_ns > other.at_ns : number > other.number;
    }
  };

  double now_ns_ = 0;
  uint64_t next_number_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_CLOCK_H_
