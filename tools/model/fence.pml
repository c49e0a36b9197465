/*
 * The fence of one partition's log: claims, records, barriers and outcomes that
 * are not known, for HOLDERS nodes that all may hold the partition.
 * README.md beside this file says what is modelled and what is not.
 *
 * The network is a set of publishes. A publish, once sent, can be taken by the
 * stream at any later time, or never: so it is lost, delayed, overtaken,
 * repeated byte for byte (the same member of the set) and lands long after its
 * time-out or its holder's end. A pause is a holder that takes no step; a crash
 * forgets all but what the log holds.
 */

#ifndef HOLDERS
#define HOLDERS 2
#endif
#ifndef RECORDS
#define RECORDS 5 /* claims and decisions that may be sent, landed or not */
#endif
#ifndef COMMANDS
#define COMMANDS 2 /* command c, from 1 on, is: app c takes the thread */
#endif

#define CLAIM 0
#define BIT(n) (1 << (n))

/* The records that were sent. A record is named by its group id. */
byte sent = 0;
byte command[RECORDS + 2];  /* CLAIM, or the command decided */
byte epoch[RECORDS + 2];    /* 0 once it can be taken no more */
byte expected[RECORDS + 2]; /* the last sequence that its holder has applied */

/* The log, and its fold after each of its sequences. */
byte last = 0;
byte log[RECORDS + 2];
byte highest[RECORDS + 2];  /* epoch */
byte owner[RECORDS + 2];    /* app, 0 for none */
byte decided[RECORDS + 2];  /* set of commands */

/* What callers were told: commands done, and commands that never will be. */
byte granted = 0;
byte denied = 0;

/* What must never be. Each has its own name, which the checker prints. */
bit stale_record;    /* a record of an ended epoch stands behind a newer claim */
bit decided_twice;   /* a command is decided that the log holds already */
bit denied_but_done; /* its caller was told that it will never be, and it is */
bit lost;            /* acknowledged, and not in the log's fold */
bit two_owners;      /* an owner is named that nobody has had since the question */
bit zombie_answered; /* asked after the successor's claim, answered by the deposed */
bit stale_answer;    /* an answer from before what the log held at the question */

#define NEVER(what) assert(!what)

/* The stream takes record r. */
inline land(r) {
	d_step {
		last++;
		log[last] = r;
		highest[last] = highest[last - 1];
		owner[last] = owner[last - 1];
		decided[last] = decided[last - 1];
		if
		:: epoch[r] < highest[last] -> stale_record = 1 /* every reader skips it */
		:: else ->
			highest[last] = epoch[r];
			if
			:: command[r] == CLAIM
			:: else ->
				decided_twice = (decided[last] & BIT(command[r])) != 0;
				denied_but_done = (denied & BIT(command[r])) != 0;
				decided[last] = decided[last] | BIT(command[r]);
				owner[last] = command[r]
			fi
		fi;
		/* Clear what can be taken no more: the checker then sees equal states. */
		r = 1;
		do
		:: r <= sent ->
			if
			:: expected[r] < last -> command[r] = 0; epoch[r] = 0; expected[r] = 0
			:: else
			fi;
			r++
		:: else -> break
		od;
		r = 0
	}
#ifdef READERS_SKIP
	stale_record = 0;
#endif
	NEVER(stale_record);
	NEVER(decided_twice);
	NEVER(denied_but_done)
}

/* A holder sends a new record. One that expects less than the stream's end can
 * never be taken. */
inline send(id, what, in_epoch, after) {
	sent++;
	id = sent;
	if
	:: after >= last -> command[id] = what; epoch[id] = in_epoch; expected[id] = after
	:: else
	fi
}

/* A holder acknowledges the command that came when the log ended at asked. */
inline acknowledge(c) {
#ifdef WITNESS
	granted = granted | BIT(c);
#endif
	lost = (decided[last] & BIT(c)) == 0;
	NEVER(lost);
	fenced()
}

/* A holder says who owns the thread, to a question that came likewise. */
inline tell() {
	two_owners = 1;
	i = asked;
	do
	:: i <= last ->
		if
		:: owner[i] == owner[applied] -> two_owners = 0
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	NEVER(two_owners);
	fenced()
}

inline fenced() {
	zombie_answered = mine < highest[asked];
	stale_answer = applied < asked;
	NEVER(zombie_answered);
	NEVER(stale_answer)
}

/* What a holder learns of its record: an acknowledgement, or "wrong sequence"
 * and then the record that follows the expected sequence. */
#define COMMITTED(record, after) (last > after && log[after + 1] == record)
#define DEPOSED(record, after)   (last > after && log[after + 1] != record)

active proctype Stream() {
	byte r;
	do
	:: atomic {
		r = 1;
		do
		:: r < sent -> r++
		:: break
		od;
		epoch[r] > 0 && expected[r] == last;
		land(r)
	}
	od
}

/* Holder: claim, then decide and answer. */
proctype Holder() {
	byte applied; /* the last sequence it has read or written */
	byte mine;    /* its epoch */
	byte r;       /* the record that it has sent and whose outcome it awaits */
	byte c;       /* the command under way */
	byte asked;   /* the log's end when the command came */
	byte i;
#ifdef PIPELINING
	byte ahead;   /* a second record, with a predicted sequence */
#endif

start: /* New, deposed or crashed: nothing is remembered but the log. */
	atomic {
		/* Catch up. What it reads may be behind: the claim finds out. */
		applied = 0; r = 0; c = 0; asked = 0;
#ifdef PIPELINING
		ahead = 0;
#endif
		sent < RECORDS;
		do
		:: applied < last -> applied++
		:: break
		od;
		mine = highest[applied] + 1;
#ifdef CLAIM_UNREAD
		i = last; /* the stream's end, which it has not read up to */
		send(r, CLAIM, mine, i);
		applied = i; i = 0
#else
		send(r, CLAIM, mine, applied)
#endif
	}
	if
	:: atomic { COMMITTED(r, applied) -> applied++; r = 0 }
	:: atomic { DEPOSED(r, applied) -> mine = 0; goto start }
	:: atomic { mine = 0; goto start } /* crash */
	fi;

holding:
	/* A command or a question comes, new or repeated by its caller. */
	atomic {
#ifdef BARRIER_BEFORE
		last == applied; /* taken for an earlier question */
	}
	atomic {
#endif
		c = 0;
		do
		:: c < COMMANDS -> c++
		:: break
		od;
		asked = last;
		if
		:: c == 0 || (decided[applied] & BIT(c)) -> goto barrier /* logs nothing */
		:: else
		fi;
		/* Decide: one record, expected after the last. */
		sent < RECORDS;
		send(r, c, mine, applied)
	}
#ifdef PIPELINING
	if
	:: atomic { sent < RECORDS && c == 1 && !(decided[applied] & BIT(2)) -> i = applied + 1; send(ahead, 2, mine, i); i = 0 }
	:: skip
	fi;
#endif
#ifdef ANSWER_FIRST
	atomic { acknowledge(c) };
#endif

	/* The outcome of the record. Until it is known the holder repeats it, also
	 * after "an earlier publish is in flight": that changes nothing here. */
	if
	:: atomic { COMMITTED(r, applied) ->
		applied++;
		acknowledge(c);
		tell(); /* a question that came with the command */
		r = 0; c = 0; asked = 0; goto holding }
	:: atomic { DEPOSED(r, applied) -> mine = 0; goto start }
	/* It crashes; or it is told "wrong sequence" by a server that was the
	 * stream's leader once, and finds no record to read: it stops unanswered. */
	:: atomic { mine = 0; goto start }
#ifdef PIPELINING
	/* Each record is answered when its own acknowledgement comes. */
	:: atomic { ahead && COMMITTED(ahead, applied + 1) -> acknowledge(2); mine = 0; goto start }
#endif
#ifdef RESOLVE_BY_READING
	/* It reads, and the record is not there. */
	:: atomic { last == applied -> denied = denied | BIT(c); r = 0; c = 0; asked = 0; goto holding }
#endif
	fi;

barrier:
	/* A barrier is taken by the stream only while the log ends where the holder
	 * thinks. One that is lost or late has no effect on anything. */
	if
#if defined(NO_BARRIER) || defined(BARRIER_BEFORE)
	:: atomic {
#else
	:: atomic { last == applied ->
#endif
		if
		:: c -> acknowledge(c)
		:: else -> tell()
		fi;
		c = 0; asked = 0; goto holding }
	:: atomic { last != applied -> mine = 0; goto start }
	:: atomic { mine = 0; goto start } /* crash */
	fi
}

init {
	atomic {
		byte h = 0;
		do
		:: h < HOLDERS -> run Holder(); h++
		:: else -> break
		od;
		h = 0
	}
#ifdef WITNESS
	/* Not a fault: a run that the model must have, or it proves nothing. Two
	 * tenures, and all commands done and acknowledged. */
	assert(!(highest[last] == 2 && granted == (BIT(COMMANDS + 1) - 2)))
#endif
}
