package partition

import (
	"hash/fnv"
	"strconv"
	"testing"

	"github.com/baton-router/baton/pkg/control"
)

// natsPartition is what a NATS server computes for {{partition(N,1,2)}} on a
// subject whose first two tokens are the ids: FNV-1a over the bytes of the
// tokens, one after the other, modulo N.
func natsPartition(tokens []string, count int) int {
	h := fnv.New32a()
	for _, token := range tokens {
		_, _ = h.Write([]byte(token))
	}
	return int(h.Sum32() % uint32(count))
}

func TestThreadsKeepTheirPartition(t *testing.T) {
	t.Parallel()
	// These numbers are in every installation's streams: they never change.
	for _, v := range []struct {
		key   control.ThreadKey
		count int
		want  int
	}{
		{control.ThreadKey{Asset: 100200300400500, Person: 9001234567890123}, 64, 38},
		{control.ThreadKey{Asset: 100200300400500, Person: 9001234567890124}, 64, 31},
		{control.ThreadKey{Asset: 100200300400500}, 64, 24},
		{control.ThreadKey{Asset: 17841400000000001, Person: 1}, 64, 54},
		{control.ThreadKey{Asset: 1<<64 - 1, Person: 1<<64 - 1}, 1024, 709},
		{control.ThreadKey{Asset: 1, Person: 2}, 1, 0},
	} {
		if got := Of(v.key, v.count); got != v.want {
			t.Errorf("%v is in partition %d of %d, not %d", v.key, got, v.count, v.want)
		}
	}
}

func TestThePageHashesItsIDAlone(t *testing.T) {
	t.Parallel()
	if got, want := Of(control.ThreadKey{Asset: 42}, Default), natsPartition([]string{"42"}, Default); got != want {
		t.Errorf("partition %d, not %d", got, want)
	}
}

func TestPartitionsAreEvenlyUsed(t *testing.T) {
	t.Parallel()
	const threads = 64_000
	var used [Default]int
	for person := range uint64(threads) {
		used[Of(control.ThreadKey{Asset: 100200300400500, Person: 9001234567000000 + person}, Default)]++
	}
	for p, n := range used {
		if n < threads/Default/2 || n > threads/Default*2 {
			t.Errorf("partition %d has %d of %d threads", p, n, threads)
		}
	}
}

func FuzzOfAgreesWithNATS(f *testing.F) {
	f.Add(uint64(100200300400500), uint64(9001234567890123), uint16(64))
	f.Add(uint64(1), uint64(0), uint16(1))
	f.Add(uint64(1<<64-1), uint64(1<<64-1), uint16(65535))
	f.Fuzz(func(t *testing.T, asset, person uint64, count uint16) {
		if count == 0 {
			return
		}
		tokens := []string{strconv.FormatUint(asset, 10)}
		if person != 0 {
			tokens = append(tokens, strconv.FormatUint(person, 10))
		}
		got := Of(control.ThreadKey{Asset: asset, Person: person}, int(count))
		if want := natsPartition(tokens, int(count)); got != want || got < 0 || got >= int(count) {
			t.Fatalf("%v of %d is in %d, for NATS in %d", tokens, count, got, want)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	key := control.ThreadKey{Asset: 100200300400500, Person: 9001234567890123}
	b.ReportAllocs()
	for b.Loop() {
		Of(key, Default)
	}
}
