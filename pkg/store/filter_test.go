package store

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func randomKey(r *rand.Rand) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id
}

// What was remembered is always known, and little else is.
func TestMemoryForgetsNothingAndAlarmsSeldom(t *testing.T) {
	t.Parallel()
	const keys = 200_000
	m := newMemory()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range keys {
		id := randomKey(r)
		m.remember(uint32(i%2), &id)
	}
	r = rand.New(rand.NewPCG(1, 1))
	for i := range keys {
		if id := randomKey(r); !m.mayKnow(&id) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	alarms := 0
	for range keys {
		if id := randomKey(r); m.mayKnow(&id) {
			alarms++
		}
	}
	if alarms > keys/600 {
		t.Errorf("%d of %d unknown keys look known", alarms, keys)
	}
	m.lapse(1)
	if m.keys != keys/2 || len(m.by) != 1 {
		t.Errorf("%d keys of %d generations left", m.keys, len(m.by))
	}
}

// A memory that is given up says of every key that it may be known.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	r := rand.New(rand.NewPCG(2, 2))
	for range filterMost + 1 {
		id := randomKey(r)
		m.remember(7, &id)
	}
	if id := randomKey(r); m.complete || m.by != nil || !m.mayKnow(&id) {
		t.Errorf("complete %t, %d generations", m.complete, len(m.by))
	}
}
