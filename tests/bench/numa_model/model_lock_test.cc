// ModelLock and Clock: waits agree with the formulas where there is one, and a mutex does what glibc's does.
#include "bench/numa_model/model_lock.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "bench/numa_model/paper.h"

namespace hugepool::bench {
namespace {

constexpr double kStayNs = 300;

Task Visit(Clock& clock, ModelLock& lock, double stay_ns) {
  co_await lock.Acquire();
  co_await clock.Delay(stay_ns);
  co_await clock.Delay(lock.Release());
}

// Visitors that come at random, one after the other or together, whoever is there.
Task SendVisitors(Clock& clock, ModelLock& lock, double mean_between_ns, std::vector<double> stays_ns, size_t count,
                  std::vector<Task>* visits) {
  std::mt19937_64 random(7);
  std::exponential_distribution<double> between(1 / mean_between_ns);
  for (size_t i = 0; i < count; ++i) {
    co_await clock.Delay(between(random));
    visits->push_back(Visit(clock, lock, stays_ns[random() % stays_ns.size()]));
    visits->back().Start();
  }
}

LockFigures FiguresOf(LockKind kind, const Costs& costs, double use, const std::vector<double>& stays_ns) {
  constexpr size_t kCount = 400000;
  double mean_stay_ns = 0;
  for (const double stay_ns : stays_ns) mean_stay_ns += stay_ns / static_cast<double>(stays_ns.size());
  Clock clock;
  ModelLock lock(clock, kind, costs);
  std::vector<Task> visits;
  visits.reserve(kCount);
  Task source = SendVisitors(clock, lock, mean_stay_ns / use, stays_ns, kCount, &visits);
  source.Start();
  clock.RunUntil(INFINITY);
  const LockFigures figures = lock.Figures();
  EXPECT_EQ(figures.acquired_count, kCount);
  EXPECT_NEAR(figures.held_ns / clock.now_ns(), use, 0.01 * use);
  return figures;
}

// M/D/1: use × stay ÷ (2 (1 − use)). 400,000 visitors keep the mean within 3 %.
TEST(ModelLock, WaitsInTurnAsTheFormulaForEqualStaysSays) {
  for (const double use : {0.1, 0.3, 0.5, 0.7}) {
    const LockFigures figures = FiguresOf(LockKind::kQueue, Costs(), use, {kStayNs});
    const double expected_ns = use * kStayNs / (2 * (1 - use));
    EXPECT_NEAR(figures.MeanWaitNs(), expected_ns, 0.03 * expected_ns) << "use " << use;
    EXPECT_NEAR(QueueAt({{use / kStayNs, kStayNs}}).wait_ns, expected_ns, 1e-9) << "use " << use;
    // Who comes at random meets the lock held for the share of time that it is.
    EXPECT_NEAR(static_cast<double>(figures.waited_count) / static_cast<double>(figures.acquired_count), use,
                0.03 * use);
  }
}

TEST(ModelLock, WaitsInTurnAsTheFormulaForTwoStaysSays) {
  constexpr double kUse = 0.5;
  const LockFigures figures = FiguresOf(LockKind::kQueue, Costs(), kUse, {100, 900});
  const double per_ns = kUse / 500;
  const double expected_ns = QueueAt({{per_ns / 2, 100}, {per_ns / 2, 900}}).wait_ns;
  EXPECT_NEAR(expected_ns, per_ns * (100 * 100 + 900 * 900) / 2 / (2 * (1 - kUse)), 1e-9);
  EXPECT_NEAR(figures.MeanWaitNs(), expected_ns, 0.03 * expected_ns);
}

TEST(ModelLock, MoreVisitsThanItCanServeHaveNoMeanWait) {
  EXPECT_TRUE(std::isinf(QueueAt({{1.0 / 300, 300}}).wait_ns));
  EXPECT_DOUBLE_EQ(QueueAt({{2.0 / 300, 300}}).use, 2);
}

// Two visitors at once. In turn: the second waits for the first. A mutex: it goes to the kernel, finds the lock still
// held, sleeps, and is woken when the first leaves.
TEST(ModelLock, TheSecondOfTwoWaitsForTheFirstOrSleeps) {
  Costs costs;
  costs.futex_call_ns = 50;
  costs.wake_call_ns = 1000;
  costs.wake_ns = 20000;
  for (const LockKind kind : {LockKind::kQueue, LockKind::kMutex}) {
    Clock clock;
    ModelLock lock(clock, kind, costs);
    Task first = Visit(clock, lock, kStayNs);
    Task second = Visit(clock, lock, kStayNs);
    first.Start();
    second.Start();
    clock.RunUntil(INFINITY);
    EXPECT_EQ(lock.Figures().acquired_count, 2u);
    EXPECT_EQ(lock.Figures().waited_count, 1u);
    EXPECT_DOUBLE_EQ(lock.Figures().longest_ns, kind == LockKind::kQueue ? kStayNs : kStayNs + costs.wake_ns);
    EXPECT_DOUBLE_EQ(lock.Figures().held_ns, 2 * kStayNs);
  }
}

// The lock came free while the second was on its way into the kernel: no sleep.
TEST(ModelLock, AMutexThatCameFreeOnTheWayToSleepIsTakenAtOnce) {
  Costs costs;
  costs.futex_call_ns = 400;
  costs.wake_ns = 20000;
  Clock clock;
  ModelLock lock(clock, LockKind::kMutex, costs);
  Task first = Visit(clock, lock, kStayNs);
  Task second = Visit(clock, lock, kStayNs);
  first.Start();
  second.Start();
  clock.RunUntil(INFINITY);
  EXPECT_DOUBLE_EQ(lock.Figures().longest_ns, costs.futex_call_ns);
}

// No wake-up is lost: however many sleep, all of them get it.
TEST(ModelLock, EverySleeperOfAMutexIsWoken) {
  Clock clock;
  const Costs costs;
  ModelLock lock(clock, LockKind::kMutex, costs);
  std::vector<Task> visits;
  for (int i = 0; i < 100; ++i) visits.push_back(Visit(clock, lock, kStayNs));
  for (Task& visit : visits) visit.Start();
  clock.RunUntil(INFINITY);
  EXPECT_EQ(lock.Figures().acquired_count, 100u);
  EXPECT_DOUBLE_EQ(lock.Figures().held_ns, 100 * kStayNs);
}

}  // namespace
}  // namespace hugepool::bench
