// Construct: a T in memory that goes back when its constructor throws. Not for users: what the typed faces share.
//
// Threads    touches its arguments only
#ifndef HUGEPOOL_INTERNAL_CONSTRUCT_H_
#define HUGEPOOL_INTERNAL_CONSTRUCT_H_

#include <new>
#include <type_traits>
#include <utility>

namespace hugepool::internal {

// The new T, made of `args` by T(args...), or by T{args...} where only that compiles (aggregates under older compilers).
// Where the constructor throws, give_back(memory) is called and the exception passes on. No `try` is needed for that,
// so that this header also compiles without exceptions.
template <typename T, typename GiveBack, typename... Args>
T* Construct(void* memory, GiveBack give_back, Args&&... args) {
  struct Guard {
    GiveBack& give_back;
    void* memory;
    ~Guard() {
      if (memory != nullptr) give_back(memory);
    }
  };
  Guard guard{give_back, memory};
  T* object = nullptr;
  if constexpr (std::is_constructible_v<T, Args...>) {
    object = ::new (memory) T(std::forward<Args>(args)...);
  } else {
    object = ::new (memory) T{std::forward<Args>(args)...};
  }
  guard.memory = nullptr;
  return object;
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_INTERNAL_CONSTRUCT_H_
