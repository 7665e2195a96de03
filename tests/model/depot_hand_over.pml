/* depot_hand_over.pml: blocks on their way home: magazine or outbox, depot, slab, under drains. To be searched by spin;
 * model_test.sh does.
 *
 * Shape      two nodes with one CPU and one window each; a CPU has a magazine for its own window's blocks and an outbox for
 *            those of each window, BATCH places each; a depot a window, of DEPOT_COUNT places; the slabs. THREAD_COUNT
 *            threads allocate, free and drain, each on any CPU at any time; block 1 is of window 0, blocks 2 to 4 of
 *            window 1. Under placement local_strict: every block of a CPU's magazine is of its window.
 *
 *            model                 code (cache/cpu_cache.cc)
 *            Deallocate            CpuCache::DeallocateBatch
 *            Return                CpuCache::Return
 *            Allocate              CpuCache::Allocate, CpuCache::Refill
 *            Drain                 CpuCache::Drain; EmptyAll in it is CpuRegions::Drain, whose StopAll and StartAgain are one
 *                                  step each, and so is a sequence: magazine_drain.pml is about why they may be
 *            Now                   the CPU that a sequence finds itself on
 *
 * Threads    a thread may be moved between any two steps: each step that asks for the CPU gets any. A push or a pop may
 *            move nothing: the kernel ended the sequence, a drain has stopped the magazine, or the budget gives no room.
 *            Blocks in use are in one pair of hands: any thread may free them.
 * Asserted   a block is in one place; magazine, outbox and depot hold blocks of their window only; a depot never holds more
 *            than its limit; when all threads have ended and nobody runs on either CPU, one drain by whoever is left brings
 *            every block back to the slabs; nobody waits for ever for another's drain
 * Left out   a window's several depots, what they may hold together and how a drain finds them all (depot_budget.pml);
 *            draining slabs, whose blocks pass the depots; spills (OpenFor), under which a magazine holds another window's
 *            blocks by intention, and blocks of the home window wait in an outbox that Fetch empties first; which of
 *            several blocks a batch takes is left open
 * Mutants    as in magazine_drain.pml
 */
#define THREAD_COUNT 2
#define BATCH 2
#define DEPOT_COUNT 1
#define ALL 15
#define OF_WINDOW_0 1
#define OF_WINDOW_1 14
#define OF_WINDOW(w) ((w) == 0 -> OF_WINDOW_0 : OF_WINDOW_1)
#define WINDOW(block) ((block) == 1 -> 0 : 1)
#define SIZE(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))
#define ROW(cpu, row) ((cpu) * 3 + (row))
#define HOME_ROW 0
#define OUTBOX_ROW(w) (1 + (w))

/* Sets of blocks, a bit each. */
byte cached[6]; /* by ROW: magazines and outboxes */
byte depot[2];
byte slabs = ALL;
byte in_use;
bool stopped;
bool drain_owned;
bool finish;
byte ended;

inline Move(from, set, to) {
  assert(((from) & (set)) == (set) && ((to) & (set)) == 0);
  from = from & ~(set);
  to = to | (set)
}
/* One of the set; or none, where there is none. */
inline ChooseFrom(block, set) {
  if
  :: ((set) & 1) != 0 -> block = 1
  :: ((set) & 2) != 0 -> block = 2
  :: ((set) & 4) != 0 -> block = 4
  :: ((set) & 8) != 0 -> block = 8
  :: (set) == 0 -> block = 0
  fi
}
inline Now() {
  if
  :: now = 0
  :: now = 1
  fi
}
/* A block of the thread's into this row of `cpu`; it stays with the thread where that cannot be. */
inline Push(row, block) {
  atomic {
    Now();
    if
#ifndef CPU_NOT_COMPARED /* MUTANT: into the row of the CPU that it runs on by now */
    :: now == cpu && !stopped && SIZE(cached[ROW(now, row)]) < BATCH ->
#else
    :: !stopped && SIZE(cached[ROW(now, row)]) < BATCH ->
#endif
       Move(mine, block, cached[ROW(now, row)]);
       assert((row == HOME_ROW -> now : row - 1) == WINDOW(block))
    :: true
    fi;
    now = 0
  }
}
/* Some of this row, wherever the thread runs by now, to the thread: one block, a whole batch, or none. */
inline Pop(row, whole) {
  atomic {
    Now();
    if
    :: !stopped && whole -> block = cached[ROW(now, row)]
    :: !stopped && !whole -> ChooseFrom(block, cached[ROW(now, row)])
    :: block = 0
    fi;
    Move(cached[ROW(now, row)], block, mine);
    block = 0;
    now = 0
  }
}
/* All of `set` to the depots of their windows, as far as there is room, and then to the slabs. */
inline Return(set) {
  atomic {
    do
    :: ChooseFrom(block, mine & (set));
#ifdef RETURNED_TO_THE_CPU /* MUTANT: to the depot of the CPU that frees it */
       window = cpu;
#else
       window = WINDOW(block);
#endif
       if
       :: block != 0 && SIZE(depot[window]) < DEPOT_COUNT -> Move(mine, block, depot[window])
       :: break
       fi
    od;
    window = 0;
    block = 0;
    assert((depot[0] & OF_WINDOW_1) == 0 && (depot[1] & OF_WINDOW_0) == 0);
    assert(SIZE(depot[0]) <= DEPOT_COUNT && SIZE(depot[1]) <= DEPOT_COUNT)
  }
#ifndef SURPLUS_DROPPED /* MUTANT */
  d_step { block = mine & (set); Move(mine, block, slabs); block = 0 }
#else
  mine = mine & ~(set)
#endif
}

inline Deallocate() {
  atomic {
    ChooseFrom(freed, in_use);
    Move(in_use, freed, mine);
    Now(); cpu = now; now = 0;
    row = (WINDOW(freed) == cpu -> HOME_ROW : OUTBOX_ROW(WINDOW(freed)))
  }
  do
  :: Push(row, freed);
     if
     :: (mine & freed) == 0 -> break
     :: else
     fi;
     /* Full. Room for more, and once more; or, where it still runs on its CPU, half of what is there. */
     if
     :: skip
     :: Pop(row, true);
#ifdef OLD_BATCH_FORGOTTEN /* MUTANT */
        mine = freed;
#endif
        if
        :: mine == freed -> Return(freed); break
        :: else -> Return(mine & ~freed)
        fi
     fi
  od;
  atomic { freed = 0; row = 0; cpu = 0 }
}
/* From the depot of the CPU's window, else from its slabs: one for the caller, another for the magazine. */
inline Fetch() {
  atomic {
    ChooseFrom(block, depot[cpu]);
    if
    :: block != 0 -> Move(depot[cpu], block, mine)
    :: else -> skip
    fi
  }
  atomic {
    if
    :: mine == 0 ->
       ChooseFrom(block, slabs & OF_WINDOW(cpu));
       Move(slabs, block, mine);
       if
       :: ChooseFrom(block, slabs & OF_WINDOW(cpu)); Move(slabs, block, mine)
       :: skip
       fi
    :: else
    fi;
    block = 0
  }
}
inline Allocate() {
  atomic { Now(); cpu = now; now = 0 }
  Pop(HOME_ROW, false);
  if
  :: mine == 0 ->
     Fetch();
     if
     :: mine == 0 -> Drain(); Fetch()
     :: else
     fi
  :: else
  fi;
  atomic { ChooseFrom(freed, mine); Move(mine, freed, in_use); freed = mine }
  if
  :: freed != 0 ->
     Push(HOME_ROW, freed);
     Return(mine)
  :: else
  fi;
  atomic { freed = 0; block = 0; cpu = 0 }
}

/* From a row or a depot to the slabs, by way of the drainer's hands. */
inline Empty(place) {
  atomic { drained = place; place = 0 }
  d_step { assert((slabs & drained) == 0); slabs = slabs | drained; drained = 0 }
}
inline EmptyAll() {
  stopped = true;
  Empty(cached[ROW(0, HOME_ROW)]);
  Empty(cached[ROW(1, HOME_ROW)]);
#ifndef OUTBOXES_NOT_DRAINED /* MUTANT */
  Empty(cached[ROW(0, OUTBOX_ROW(1))]);
  Empty(cached[ROW(1, OUTBOX_ROW(0))]);
#endif
  stopped = false
}
inline EmptyDepots() {
#ifndef DEPOTS_NOT_DRAINED /* MUTANT */
  Empty(depot[0]);
  Empty(depot[1])
#else
  skip
#endif
}
inline Drain() {
  if
  :: atomic { !drain_owned -> drain_owned = true }
     if
     :: EmptyAll()
     :: skip /* the membarrier was refused: the magazines stay as they are */
     fi;
     EmptyDepots();
#ifndef OWNER_STAYS /* MUTANT */
     drain_owned = false
#endif
  :: atomic { drain_owned -> !drain_owned }
  fi
}

active [THREAD_COUNT] proctype Thread() {
  byte cpu, now, row, window, block, freed, mine, drained;
  do
  :: !finish && in_use != 0 -> Deallocate()
  :: !finish -> Allocate()
  :: !finish -> Drain()
  :: finish -> break
  od;
  ended++
}

/* The last one: what it has in its hands goes back as any free does, here to the slabs; then the drain. */
active proctype LastThread() {
  byte drained;
  finish = true;
  ended == THREAD_COUNT;
  Empty(in_use);
  EmptyAll();
  EmptyDepots();
  assert(slabs == ALL)
}
