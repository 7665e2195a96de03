// MappedArray: an array in a mapping of its own, so that the loops' books do not mix with the memory that is measured.
//
// Shape      size() elements, all populated, on transparent huge pages where the kernel has them
// Owner      the array owns the mapping; it can be moved
// Threads    as an ordinary array
// Errors     a machine without that much memory: ends the process with a message
#ifndef HUGEPOOL_BENCH_POOL_BENCH_MAPPED_ARRAY_H_
#define HUGEPOOL_BENCH_POOL_BENCH_MAPPED_ARRAY_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

namespace hugepool::bench {

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  MappedArray() = default;
  explicit MappedArray(size_t size) : size_(size) {
    if (size == 0) return;
    void* memory = mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::fprintf(stderr, "pool_bench: no memory for an array of %zu bytes\n", size * sizeof(T));
      std::exit(1);
    }
    madvise(memory, size * sizeof(T), MADV_HUGEPAGE);
    std::memset(memory, 0, size * sizeof(T));
    data_ = static_cast<T*>(memory);
  }
  ~MappedArray() {
    if (data_ != nullptr) munmap(data_, size_ * sizeof(T));
  }
  MappedArray(MappedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_MAPPED_ARRAY_H_
