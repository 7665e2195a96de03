// OsWatch: every system call of the threads that watch a pool (PressureWatch, PoolWatch), and nothing else: OsMemory's
// neighbour. No policy here: each call returns what the kernel said, and tests put an OsWatch of their own in its place.
//
// Units      ns; files are file descriptors
// Threads    every call from any thread; no state
// Errors     0, or the errno of the refused call
// Cost       one system call each
#ifndef HUGEPOOL_OS_OS_WATCH_H_
#define HUGEPOOL_OS_OS_WATCH_H_

#include <poll.h>
#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace hugepool::internal {

class OsWatch {
 public:
  OsWatch() = default;
  virtual ~OsWatch() = default;
  OsWatch(const OsWatch&) = delete;
  OsWatch& operator=(const OsWatch&) = delete;

  // A pressure file, for reading, writing and polling; never blocks, not inherited by another program.
  virtual int Open(const std::string& path, int* file);
  // Its beginning, at most 128 bytes.
  virtual int Read(int file, std::string* text);
  // Writes the text and the 0 behind it in one call: the kernel takes the last byte for one and overwrites it.
  virtual int Write(int file, const std::string& text);
  // What wakes the watching thread (eventfd). A child inherits it, so only the process that made it may ring.
  virtual int MakeBell(int* file);
  virtual int Ring(int file);
  virtual void Close(int file);
  // poll: -1 waits for ever. A signal ends the wait as the time does: nothing has happened.
  virtual int Wait(pollfd* files, size_t count, int timeout_ms);

  // The text in place of the file, for others all at once: written to "PATH.new", then renamed. What is refused leaves the
  // file as it was.
  virtual int ReplaceFile(const std::string& path, const std::string& text);

  // A thread that takes no signals but those that its own faults raise. name: at most 15 characters.
  virtual int StartThread(void* (*body)(void*), void* argument, const char* name, pthread_t* thread);
  virtual void JoinThread(pthread_t thread);

  // CLOCK_MONOTONIC.
  virtual uint64_t NowNs() const;
};

// The real one; lives for ever.
OsWatch& SystemWatch();

}  // namespace hugepool::internal

#endif  // HUGEPOOL_OS_OS_WATCH_H_
