/* magazine_drain.pml: blocks enter and leave the magazines of two CPUs by restartable sequences, while one thread drains
 * both and others change their room. To be searched by spin; model_test.sh does.
 *
 * Shape      CPU_COUNT CPUs with one magazine each, of which one grows to SLOT_COUNT slots and one to a single one;
 *            TOKEN_COUNT blocks ("tokens"). A process per CPU runs sequences, one after another; Drainer drains for ever;
 *            Room grows and shrinks capacities; Memory lets stores be seen.
 *
 *            model                    code
 *            StartPop, CommitPop      PercpuPop (hugepool/internal/percpu.h), PercpuPopBatch (cache/magazine_batch.h)
 *            StartPush .. CommitPush  PercpuPush, PercpuPushBatch
 *            EndSequence              the kernel's abort: HUGEPOOL_RSEQ_LANDING
 *            Grow, Shrink             CpuRegions::Grow, CpuRegions::Shrink (cache/cpu_regions.cc)
 *            Fence                    CpuRegions::Fence: MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ
 *            StopAll, StartAgain      CpuRegions::StopAll, CpuRegions::StartAgain
 *            Empty                    the visit in CpuRegions::Drain
 *
 * Threads    Outside a sequence a thread has nothing but the blocks in its hands, and any thread may free any block. So all
 *            threads, however many, share one set of hands (outside), and a CPU runs a sequence of any of them. A sequence
 *            that is preempted, migrated or interrupted loses its registers and starts anew, here or elsewhere, as one of
 *            any other thread: EndSequence, which may come before every step. The drainer's thread takes no CPU away:
 *            where it runs, it ends a sequence, which may happen anyway; that it has its own store buffer allows more
 *            orders, not fewer, than sharing one that is written out at the switch.
 * Memory     A store goes into the CPU's store buffer and is seen by others some time later, in no order between places: more
 *            than x86-TSO allows, and what AArch64 does. A push reads count and capacity in either order. Locked
 *            instructions act on memory at once and write out nothing else. A membarrier writes out the caller's buffer,
 *            then, CPU by CPU in either order and with other steps between, that CPU's, whose sequence it ends. A later
 *            store to the same place replaces one that waits: the two seen with nothing between, which nobody can tell
 *            from both seen late, because only the drainer's exchange looks.
 * Asserted   each token is outside or in one slot: none is popped that is out already (doubled), and when every magazine has
 *            been emptied, all are out (none lost); a push stores into an empty slot of the magazine, never in front of
 *            it; a pop reads no empty one; from StopAll's return until a magazine has room again no store of a CPU lands in
 *            it. StopAll ends: it looks again at most once for each object that a magazine held. There is no state from
 *            which nobody can go on.
 * Left out   what a slot holds beyond the count (cleared, so that whoever reads it is found), windows and slab tags
 *            (depot_hand_over.pml), the budget that pays for room (capacity_budget.pml), locked mode (a mutex), fork.
 *            Grow and Shrink are one step each: a loop that ends with a compare-and-swap of the whole word.
 * Mutants    -D of what follows MUTANT in the text takes one step of the protocol away; the search must then fail.
 */
#define CPU_COUNT 2
#define SLOT_COUNT 2
#define TOKEN_COUNT 3
#define ALL ((1 << TOKEN_COUNT) - 1)
#define BIT(token) ((1 << (token)) >> 1)
#define NOTHING 0   /* no token; tokens are 1 .. TOKEN_COUNT */
#define NO_STORE -2 /* in place of a count: none waits in the buffer */
#define STOPPED -8  /* stands for kStoppedBit: what makes any capacity negative */
#define SLOT(cpu, i) ((cpu) * SLOT_COUNT + (i))

/* The magazines, as memory has them. */
short count[CPU_COUNT];
short capacity[CPU_COUNT];
byte slot[CPU_COUNT * SLOT_COUNT];

/* Store buffers: of the CPUs, each for its own magazine, and the drainer's, who stores nothing but a count of 0. */
short late_count[CPU_COUNT] = NO_STORE;
byte late_slot[CPU_COUNT * SLOT_COUNT];
bool late_zero[CPU_COUNT];

/* The sequence that is under way on a CPU, and its registers. */
#define NONE 0
#define POP 1        /* has read the count */
#define PUSH_COUNT 2 /* has read the count */
#define PUSH_ROOM 3  /* has read the capacity */
#define PUSH 4       /* has stored the objects */
byte sequence[CPU_COUNT];
short held[CPU_COUNT];
short room[CPU_COUNT];
byte first[CPU_COUNT];
byte second[CPU_COUNT];

/* The blocks that are in no magazine: in somebody's hands, or in a slab, from which anybody may take them. */
byte outside = ALL;
/* Between StopAll's return and the capacity's. */
bool closed[CPU_COUNT];

/* Memory ----------------------------------------------------------------------------------------------------------- */

/* What a CPU reads: its own stores at once. */
#define COUNT(cpu) (late_count[cpu] == NO_STORE -> count[cpu] : late_count[cpu])
#define OBJECT(cpu, i) (late_slot[SLOT(cpu, i)] == NOTHING -> slot[SLOT(cpu, i)] : late_slot[SLOT(cpu, i)])

inline LandCount(cpu) {
  if
  :: late_count[cpu] != NO_STORE -> assert(!closed[cpu]); count[cpu] = late_count[cpu]; late_count[cpu] = NO_STORE
  :: else
  fi
}
inline LandSlot(cpu, i) {
  if
  :: late_slot[SLOT(cpu, i)] != NOTHING ->
     assert(!closed[cpu]); slot[SLOT(cpu, i)] = late_slot[SLOT(cpu, i)]; late_slot[SLOT(cpu, i)] = NOTHING
  :: else
  fi
}
inline LandZero(cpu) {
  if
  :: late_zero[cpu] -> count[cpu] = 0; late_zero[cpu] = false
  :: else
  fi
}

active [CPU_COUNT] proctype Memory() {
  do
  :: d_step { late_count[_pid] != NO_STORE -> LandCount(_pid) }
  :: d_step { late_slot[SLOT(_pid, 0)] != NOTHING -> LandSlot(_pid, 0) }
  :: d_step { late_slot[SLOT(_pid, 1)] != NOTHING -> LandSlot(_pid, 1) }
  :: d_step { late_zero[_pid] -> LandZero(_pid) }
  od
}

/* Sequences -------------------------------------------------------------------------------------------------------- */

/* Outside, and no sequence is about to push it. */
#define FREE (outside & ~(BIT(first[0]) | BIT(second[0]) | BIT(first[1]) | BIT(second[1])))

inline TakeOut(token) {
  assert(token != NOTHING);
  assert((outside & BIT(token)) == 0);
  outside = outside | BIT(token)
}
inline ChooseFrom(token, set) {
  if
  :: ((set) & BIT(1)) != 0 -> token = 1
  :: ((set) & BIT(2)) != 0 -> token = 2
  :: ((set) & BIT(3)) != 0 -> token = 3
  fi
}
inline ClearRegisters(cpu) { sequence[cpu] = NONE; held[cpu] = 0; room[cpu] = 0; first[cpu] = NOTHING; second[cpu] = NOTHING }
/* What it stored beyond the count stays there, where nobody looks; here it is cleared. */
inline ClearSlot(cpu, i) { late_slot[SLOT(cpu, i)] = NOTHING; slot[SLOT(cpu, i)] = NOTHING }
inline EndSequence(cpu) {
  if
  :: sequence[cpu] == PUSH ->
     ClearSlot(cpu, held[cpu]);
     if
     :: second[cpu] != NOTHING -> ClearSlot(cpu, held[cpu] + 1)
     :: else
     fi
  :: else
  fi;
  ClearRegisters(cpu)
}
inline Pop(cpu) {
  held[cpu]--;
  popped = OBJECT(cpu, held[cpu]);
  TakeOut(popped);
  ClearSlot(cpu, held[cpu]);
  popped = NOTHING
}
inline StoreObjects(cpu) {
  assert(held[cpu] >= 0 && OBJECT(cpu, held[cpu]) == NOTHING);
  late_slot[SLOT(cpu, held[cpu])] = first[cpu];
  if
  :: second[cpu] != NOTHING && held[cpu] + 1 < room[cpu] ->
     assert(OBJECT(cpu, held[cpu] + 1) == NOTHING);
     late_slot[SLOT(cpu, held[cpu] + 1)] = second[cpu]
  :: else -> second[cpu] = NOTHING
  fi
}
/* Behind both reads: full, or with room for some. */
inline DecidePush(cpu) {
  if
  :: held[cpu] >= room[cpu] -> ClearRegisters(cpu)
  :: else -> StoreObjects(cpu); sequence[cpu] = PUSH
  fi
}

proctype Cpu(byte me) {
  byte popped;
#ifdef NOT_RESTARTED
  short asleep;
#endif
  do
  /* StartPop, StartPush: the first read. One object, or two: of the batch. */
  :: d_step { sequence[me] == NONE -> held[me] = COUNT(me); if :: held[me] > 0 -> sequence[me] = POP :: else -> held[me] = 0 fi }
  :: atomic {
       sequence[me] == NONE && FREE != 0 ->
       ChooseFrom(first[me], FREE);
       if
       :: FREE != 0 -> ChooseFrom(second[me], FREE)
       :: skip
       fi;
       if
       :: held[me] = COUNT(me); sequence[me] = PUSH_COUNT
       :: room[me] = capacity[me]; sequence[me] = PUSH_ROOM
       fi
     }
  :: d_step { sequence[me] == PUSH_COUNT -> room[me] = capacity[me]; DecidePush(me) }
  :: d_step { sequence[me] == PUSH_ROOM -> held[me] = COUNT(me); DecidePush(me) }
  /* CommitPop, CommitPush: the one store that counts. x86-64 adds to the count, AArch64 stores what it has read and more. */
  :: atomic {
       sequence[me] == POP ->
       Pop(me);
       if
       :: held[me] > 0 -> Pop(me)
       :: skip
       fi;
       late_count[me] = held[me];
       ClearRegisters(me)
     }
  :: atomic {
       sequence[me] == PUSH ->
       if
       :: held[me] = COUNT(me)
       :: skip
       fi;
       held[me]++;
       outside = outside & ~BIT(first[me]);
       if
       :: second[me] != NOTHING -> held[me]++; outside = outside & ~BIT(second[me])
       :: else
       fi;
       late_count[me] = held[me];
       ClearRegisters(me)
     }
  /* Preempted, migrated, or interrupted by a signal. */
#ifdef NOT_RESTARTED /* MUTANT: it goes on later, with the registers that it had */
  :: d_step { sequence[me] == POP && asleep == 0 -> asleep = held[me]; ClearRegisters(me) }
  :: d_step { sequence[me] == NONE && asleep != 0 -> sequence[me] = POP; held[me] = asleep; asleep = 0 }
#endif
  :: d_step { sequence[me] != NONE -> EndSequence(me) }
  od
}

/* Capacities, by any thread on any CPU ------------------------------------------------------------------------------ */

active proctype Room() {
#ifdef GROWN_BY_STORE
  short grown;
#endif
  do
  :: d_step { capacity[0] >= 0 && capacity[0] < SLOT_COUNT -> capacity[0]++ }
  :: d_step { capacity[1] >= 0 && capacity[1] < 1 -> capacity[1]++ }
  :: d_step { capacity[0] > 0 -> capacity[0]-- }
  :: d_step { capacity[1] > 0 -> capacity[1]-- }
#ifdef GROWN_BY_STORE /* MUTANT: a load and a store in place of the compare-and-swap */
  :: capacity[0] >= 0 && capacity[0] < SLOT_COUNT -> grown = capacity[0] + 1; capacity[0] = grown
#endif
  od
}

/* The drain -------------------------------------------------------------------------------------------------------- */

inline Interrupt(cpu) {
  d_step {
#ifndef FENCE_ENDS_NOTHING /* MUTANT: a membarrier that knows nothing of sequences */
    EndSequence(cpu);
#endif
#ifndef FENCE_SHOWS_NOTHING /* MUTANT: sequences end, and what they stored before may still wait */
    LandSlot(cpu, 0);
    LandSlot(cpu, 1);
    LandCount(cpu);
#endif
    skip
  }
}
inline Fence() {
  d_step { LandZero(0); LandZero(1) }
#ifdef FENCE_MISSES_A_CPU /* MUTANT */
  Interrupt(0)
#else
  if
  :: Interrupt(0); Interrupt(1)
  :: Interrupt(1); Interrupt(0)
  fi
#endif
}
inline Stop(cpu) { d_step { capacity[cpu] = capacity[cpu] + STOPPED } }
inline Start(cpu) { d_step { closed[cpu] = false; capacity[cpu] = capacity[cpu] - STOPPED } }
#ifdef COUNT_READ_THEN_STORED /* MUTANT: in place of the exchange */
inline Exchange(cpu) { taken[cpu] = count[cpu]; count[cpu] = -1 }
#else
#ifdef COUNT_NOT_TAKEN_AWAY /* MUTANT: pops find what they found before */
inline Exchange(cpu) { taken[cpu] = count[cpu] }
#else
inline Exchange(cpu) { d_step { taken[cpu] = count[cpu]; count[cpu] = -1 } }
#endif
#endif
inline ExchangeAgain(cpu) {
  if
#ifdef COUNT_NOT_TAKEN_AWAY
  :: skip
#else
  :: count[cpu] != -1 -> Exchange(cpu); open = true
  :: else
#endif
  fi
}
inline Empty(cpu) {
  d_step {
    assert(taken[cpu] >= 0);
    do
    :: taken[cpu] == 0 -> break
    :: else -> taken[cpu]--; TakeOut(slot[SLOT(cpu, taken[cpu])]); slot[SLOT(cpu, taken[cpu])] = NOTHING
    od
  }
}

/* The list of magazines, made before the first step, holds all that ever had room: here both. */
active proctype Drainer() {
  short taken[CPU_COUNT];
  bool open = true;
  byte look_count;
  do
  :: /* StopAll. The first fence may be refused: nothing is changed. */
#ifndef COUNTS_FIRST
     Stop(0);
     Stop(1);
#endif
     if
     :: Start(0); Start(1)
     ::
#ifndef NO_FIRST_FENCE /* MUTANT */
        Fence();
#endif
        Exchange(0);
        Exchange(1);
#ifdef COUNTS_FIRST /* MUTANT: pops are stopped before pushes */
        Fence();
        Stop(0);
        Stop(1);
#endif
        do
        :: open ->
#ifndef NO_SECOND_FENCE /* MUTANT */
           Fence();
#endif
           open = false;
           ExchangeAgain(0);
           ExchangeAgain(1);
           look_count++;
           assert(look_count <= SLOT_COUNT + 1);
#ifdef SECOND_FENCE_ONCE /* MUTANT: what was left is taken, and nobody looks whether that is all */
           open = false
#endif
        :: else -> break
        od;
        open = true;
        look_count = 0;
        d_step { closed[0] = true; closed[1] = true }
        Empty(0);
        Empty(1);
        assert(outside == ALL);

        /* StartAgain. */
#ifdef CAPACITIES_FIRST /* MUTANT: restored in the other order */
        Start(0);
        Start(1);
        Fence();
        late_zero[0] = true;
        late_zero[1] = true
#else
        late_zero[0] = true;
        late_zero[1] = true;
#ifndef NO_THIRD_FENCE /* MUTANT */
        Fence();
#endif
        Start(0);
        Start(1)
#endif
     fi
  od
}

init { atomic { run Cpu(0); run Cpu(1) } }
