package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// envLong asks for the long versions of the tests: BATON_CRASH=long.
const envLong = "BATON_CRASH"

// builtBinary builds the program once for all tests that want the real one.
var builtBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "baton-binary-")
	if err != nil {
		return "", err
	}
	removeBinary = func() { _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, "baton")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return file, nil
})

var removeBinary = func() {}

// useBinary makes the world run the built program.
func (w *world) useBinary() {
	w.t.Helper()
	file, err := builtBinary()
	if err != nil {
		w.t.Fatalf("building the program: %v\n%s", err, file)
	}
	w.binary = file
}

// TestKillLoop kills the built program at random times under load, again and
// again, on one data directory, and checks in the end everything that was
// acknowledged in any of its lives.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	kills := 10
	if os.Getenv(envLong) == "long" {
		kills = 100
	}
	if n, err := strconv.Atoi(os.Getenv("BATON_CRASH_KILLS")); err == nil {
		kills = n
	}
	w := newWorld(t)
	w.useBinary()
	l := newLoad(w)
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", kills, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l.until(func() {
		for range kills {
			next := w.start("", 0)
			if random.IntN(4) > 0 { // else while starting
				next.awaitReady()
			}
			expire(time.Duration(100+random.IntN(1200)) * time.Millisecond)
			next.kill()
		}
	})
	w.recover(l)
}

// expire waits for a time to pass that is itself what the test varies.
func expire(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// TestKillTerm ends the built program in good order under load: within 10 s,
// exit code 0, nothing lost, no request that was taken left without an answer.
func TestKillTerm(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.useBinary()
	l := newLoad(w)
	for range 3 {
		next := w.start("", 0)
		next.awaitReady()
		l.until(func() {
			before := len(l.messages())
			within(crashReach, func() bool { return len(l.messages()) > before+40 })
			took := next.stop()
			t.Logf("stopped under load in %s", took)
			if took > 10*time.Second {
				t.Errorf("the node took %s to stop", took)
			}
		})
		w.inspectStopped(l)
	}
	w.recover(l)
}

// inspectStopped checks what a stop under load leaves: all but what follows at
// the next start, the rest of the input, the topic and the deliveries.
func (w *world) inspectStopped(l *load) {
	w.t.Helper()
	r := w.read()
	w.checkStore(r)
	w.checkCalls(r, l)
	w.checkStored(r, l.messages())
}
