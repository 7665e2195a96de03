// LedgerSubject: an allocator that keeps a ledger of what a loop does with it; FaultySubject: allocators with one fault each.
//
// Shape      blocks come from malloc and are filled, so that a loop that does not write the first word is seen
// Owner      the ledger is the process's; a test clears it first
// Threads    any; one mutex
#ifndef HUGEPOOL_TESTS_BENCH_POOL_BENCH_LEDGER_SUBJECT_H_
#define HUGEPOOL_TESTS_BENCH_POOL_BENCH_LEDGER_SUBJECT_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/pool_bench/subject.h"

namespace hugepool::testing {

struct Ledger {
  std::mutex mutex;
  std::map<void*, size_t> live;         // guarded by mutex, as all of it
  std::vector<std::string> wrong;       // what no loop may do
  std::vector<size_t> freed_positions;  // of each free: how many live blocks were allocated before it
  std::map<void*, size_t> birth;        // of live blocks, counted from 0
  size_t allocate_count = 0;
  size_t free_count = 0;
  size_t most_live_count = 0;

  void Clear() {
    live.clear();
    birth.clear();
    wrong.clear();
    freed_positions.clear();
    allocate_count = free_count = most_live_count = 0;
  }
};

inline Ledger& TheLedger() {
  static Ledger ledger;
  return ledger;
}

struct LedgerSubject {
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = true;
  static constexpr bool kGrows = true;
  static constexpr int kFill = 0xA5;

  struct Handle {
    void* Allocate(size_t bytes) {
      Ledger& ledger = TheLedger();
      std::lock_guard lock(ledger.mutex);
      void* block = std::malloc(bytes);
      std::memset(block, kFill, bytes);
      ledger.live[block] = bytes;
      ledger.birth[block] = ledger.allocate_count++;
      ledger.most_live_count = std::max(ledger.most_live_count, ledger.live.size());
      return block;
    }
    void Deallocate(void* block, size_t bytes) {
      Ledger& ledger = TheLedger();
      std::lock_guard lock(ledger.mutex);
      ++ledger.free_count;
      const auto found = ledger.live.find(block);
      if (found == ledger.live.end()) {
        ledger.wrong.push_back("a free of what is not allocated");
        return;
      }
      if (found->second != bytes) ledger.wrong.push_back("a free with another size");
      uint64_t first_word = 0, filled = 0;
      std::memset(&filled, kFill, sizeof filled);
      std::memcpy(&first_word, block, sizeof first_word);
      if (first_word == filled) ledger.wrong.push_back("the first word was not written");
      ledger.freed_positions.push_back(ledger.birth[block]);
      ledger.live.erase(found);
      ledger.birth.erase(block);
      std::free(block);
    }
  };

  LedgerSubject(const bench::SubjectOptions&, std::string*) {}
  std::optional<Handle> MakeHandle(const bench::BlockDemand&, std::string*) { return Handle(); }
  const Pool* pool() const { return nullptr; }
};

enum class Fault {
  kNone,
  kTwice,     // now and then a block that is live already
  kOverlap,   // now and then a block that begins in the last word of a live one
  kRefuses,   // nothing at all
  kNoHandle,  // cannot be had at all
};

// A room for each block; a room that is free again is used later, so that the only faults are those that are asked for.
class Rooms {
 public:
  static constexpr size_t kRoomBytes = 128 << 10;
  static constexpr size_t kHeaderBytes = 64;

  Rooms() = default;
  Rooms(Rooms&&) = default;
  Rooms& operator=(Rooms&&) = default;
  ~Rooms() {
    for (Header* room : rooms_) std::free(room);
  }

  char* Take() {
    constexpr size_t kTryCount = 8;
    for (size_t i = 0; i < std::min(kTryCount, rooms_.size()); ++i) {
      Header* room = rooms_[next_++ % rooms_.size()];
      if (!room->in_use.exchange(true)) return reinterpret_cast<char*>(room) + kHeaderBytes;
    }
    void* memory = std::aligned_alloc(kRoomBytes, kRoomBytes);
    rooms_.push_back(new (memory) Header{true});
    return reinterpret_cast<char*>(rooms_.back()) + kHeaderBytes;
  }
  // From any thread, as long as the rooms are there.
  static void GiveBack(void* block) {
    const auto address = reinterpret_cast<uintptr_t>(block) & ~uintptr_t{kRoomBytes - 1};
    reinterpret_cast<Header*>(address)->in_use.store(false);
  }

 private:
  struct Header {
    std::atomic<bool> in_use;
  };
  std::vector<Header*> rooms_;
  size_t next_ = 0;
};

template <Fault kFault>
struct FaultySubject {
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = true;
  static constexpr bool kGrows = true;
  static constexpr size_t kFaultFrom = 20;

  struct Handle {
    Rooms rooms;
    size_t count = 0;
    char* previous = nullptr;  // nullptr after a fault
    size_t previous_bytes = 0;

    void* Allocate(size_t bytes) {
      if (kFault == Fault::kRefuses) return nullptr;
      const bool is_faulty = ++count > kFaultFrom && count % 3 == 2 && previous != nullptr && previous_bytes >= 16;
      if (is_faulty && kFault == Fault::kTwice) return std::exchange(previous, nullptr);
      if (is_faulty && kFault == Fault::kOverlap) return std::exchange(previous, nullptr) + previous_bytes - 8;
      previous = rooms.Take();
      previous_bytes = bytes;
      return previous;
    }
    void Deallocate(void* block, size_t) { Rooms::GiveBack(block); }
  };

  FaultySubject(const bench::SubjectOptions&, std::string*) {}
  std::optional<Handle> MakeHandle(const bench::BlockDemand&, std::string* problem) {
    if constexpr (kFault == Fault::kNoHandle) {
      *problem = "nothing to be had";
      return std::nullopt;
    }
    return Handle();
  }
  const Pool* pool() const { return nullptr; }
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_BENCH_POOL_BENCH_LEDGER_SUBJECT_H_
