/* SPDX-License-Identifier: MIT */
/*
 * Supervision for Spin: three children that fail when they like, a supervisor that restarts the one
 * that failed or, REST, also those after it, at most MAX times within WINDOW ticks, then gives up:
 * it escalates, and all stop. A runtime may begin to stop at any time, and waits for all children.
 *
 * Checked: never more restarts within a window; escalation only when the window is full; when all is
 * still, no failed child is left, and whoever stops has come to the end.
 *
 * tests/model.sh runs it as it is, which must hold, and with each MUTANT, which must not:
 *   1 one restart too many      3 a failed child that a stopping runtime waits for
 *   2 a failure that comes      4 a window that never moves on
 *     while one is looked at    5 a restart after the stop
 *                               6 with REST: those after it left as they are
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef REST
#define REST (MUTANT == 6)
#endif
#define CHILDREN 3
#define MAX 2
#define WINDOW 2
#define FAILS 3
#define TICKS 3
#define NEVER 100

#define RUNNING 0
#define FAILED 1
#define STOPPED 2

byte child[CHILDREN];
byte life[CHILDREN]; /* restarts of each */
byte pending;	     /* bits of those that failed */
byte when[FAILS + 1]; /* each restart was, kept by the check alone */
byte restarts, fails, now;
bool stopping, stopped, escalated;

#define IN_WINDOW(i) (i < restarts && when[i] + WINDOW > now)
#define COUNT (IN_WINDOW(0) + IN_WINDOW(1) + IN_WINDOW(2) + IN_WINDOW(3))

active proctype time()
{
end:	do :: now < TICKS -> now++ od
}

active [CHILDREN] proctype children()
{
	byte me = _pid - 1;

end:	do
	:: atomic { child[me] == RUNNING && fails < FAILS ->
		fails++; child[me] = FAILED; pending = pending | (1 << me) }
	:: atomic { child[me] == RUNNING && stopping -> child[me] = STOPPED }
	od
}

active proctype runtime()
{
	if :: stopping = true :: escalated fi;
	stopping = true;
	child[0] == STOPPED && child[1] == STOPPED && child[2] == STOPPED;
	stopped = true
}

/* One step, as it is under the runtime's mutex. */
inline treat(i)
{
	if
#if MUTANT == 3
	:: stopping -> skip
#elif MUTANT != 5
	:: stopping -> child[i] = STOPPED
#endif
#if MUTANT == 1
	:: !(MUTANT != 5 && stopping) && used <= MAX ->
#else
	:: !(MUTANT != 5 && stopping) && used < MAX ->
#endif
		assert(!stopped && !stopping);
		assert(COUNT < MAX);
		when[restarts] = now; restarts++;
#if MUTANT == 6
		last = i;
#else
		last = (REST -> CHILDREN - 1 : i);
#endif
		k = i;
		do
		:: k <= last ->
			if
			:: child[k] != STOPPED -> child[k] = RUNNING; life[k]++;
				pending = pending & ~(1 << k); took = took & ~(1 << k)
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0; last = 0
	:: !(MUTANT != 5 && stopping) && used >= MAX + (MUTANT == 1) ->
		assert(COUNT == MAX);
		escalated = true; stopping = true; child[i] = STOPPED
	fi
}

/* Its own memory: when the last MAX restarts were. */
active proctype supervisor()
{
	byte took, i, k, last, used, at[MAX];

	at[0] = NEVER; at[1] = NEVER;
end:	do
	:: pending ->
#if MUTANT == 2
		took = pending;
		pending = 0;
#else
		atomic { took = pending; pending = 0 };
#endif
		i = 0;
		do
		:: i < CHILDREN ->
			atomic {
				if
				:: took & (1 << i) ->
#if MUTANT == 4
					used = (at[0] != NEVER) + (at[1] != NEVER);
#else
					used = (at[0] != NEVER && at[0] + WINDOW > now) +
					       (at[1] != NEVER && at[1] + WINDOW > now);
#endif
					treat(i);
					if
					:: restarts > 0 && !stopping ->
						at[0] = at[1]; at[1] = when[restarts - 1]
					:: else
					fi;
					used = 0; k = 0; last = 0
				:: else
				fi;
				i++
			}
		:: else -> break
		od;
		took = 0
	od
}

/* When all is still. */
active proctype check()
{
	timeout;
	assert(child[0] != FAILED && child[1] != FAILED && child[2] != FAILED);
	assert(!stopping || stopped);
	assert(stopping || restarts > 0 || fails == 0);
	assert(!REST || life[2] >= life[1] && life[1] >= life[0])
}
