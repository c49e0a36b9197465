package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// plant replaces a text that stands once in a file of the source. A relative
// name is one from this package on; one that begins with GOROOT/ is Go's own.
type plant struct{ file, old, new string }

// runtimePlants take from Go's runtime what would let two runs of a seed part
// with one goroutine running at a time. It draws from seeds that the simulator
// sets before each step (seedRuntime), and it takes no goroutine's turn away
// because of the time that it has had: not the running one's, not that of one
// that is in a system call, and no mutex's from whom it would wake.
//
// What is drawn in turn is kept apart from what is drawn for maps, which is one
// number for a whole step: a cache that is filled once in a process must not
// shift what comes after it.
func runtimePlants() []plant {
	const dir = "GOROOT/src/runtime/"
	return []plant{
		{dir + "proc.go", "func retake(now int64) uint32 {\n", "func retake(now int64) uint32 {\n	if now != 0 {\n		return 0\n	}\n"},
		{dir + "proc.go", "if pp.schedtick%61 == 0 && !sched.runq.empty() {", "if false && !sched.runq.empty() {"},
		{dir + "select.go", "j := cheaprandn(uint32(norder + 1))", "j := simNext() % uint64(norder+1)"},
		{dir + "time.go", "t.rand = cheaprand()", "t.rand = uint32(simNext())"},
		{dir + "rand.go", "seed[i%len(seed)] ^= c\n", "seed[i%len(seed)] ^= byte(i) | c&0\n"},
		{dir + "rand.go", "func rand32() uint32 {\n	return uint32(rand())", "func rand32() uint32 {\n	return uint32(simWord)"},
		{dir + "rand.go", "func maps_rand() uint64 {\n	return rand()", "func maps_rand() uint64 {\n	return simWord"},
		{dir + "rand.go", "func rand() uint64 {\n", "func rand() uint64 {\n	if simWord != 0 {\n		return simNext()\n	}\n"},
		{dir + "rand.go", "var readRandomFailed bool\n", `var readRandomFailed bool

// simWord is what a step begins with, simState what is drawn in it (splitmix64).
var simWord, simState uint64

//go:linkname simSeed
func simSeed(seed uint64) { simWord, simState = seed, seed }

//go:nosplit
func simNext() uint64 {
	simState += 0x9e3779b97f4a7c15
	z := simState
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
`},
		{"GOROOT/src/internal/sync/mutex.go", "starvationThresholdNs = 1e6", "starvationThresholdNs = 1 << 62"},
	}
}

// buildTest builds this package's tests with the runtime that leaves nothing open,
// and with more plants. The first build on a machine compiles the standard
// library anew: a minute or two of a processor.
func buildTest(t *testing.T, more ...plant) string {
	t.Helper()
	dir := t.TempDir()
	overlay := overlayOf(t, dir, append(runtimePlants(), more...))
	name := filepath.Join(dir, "sim.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "fixedruntime", "-overlay", overlay, "-o", name, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%.3000s", err, out)
	}
	return name
}

// overlayOf writes the files with their plants, and the list of them that the go
// command reads.
func overlayOf(t *testing.T, dir string, plants []plant) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{}
	for _, p := range plants {
		p.file = strings.Replace(p.file, "GOROOT", strings.TrimSpace(string(out)), 1)
		p.put(t, dir, overlay)
	}
	data, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (p *plant) put(t *testing.T, dir string, overlay map[string]string) {
	t.Helper()
	path, err := filepath.Abs(p.file)
	if err != nil {
		t.Fatal(err)
	}
	from := path
	if overlay[path] == "" {
		overlay[path] = filepath.Join(dir, fmt.Sprintf("%d-%s", len(overlay), filepath.Base(path)))
	} else {
		from = overlay[path]
	}
	source, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), p.old); n != 1 {
		t.Fatalf("%s (%s) has %d times, not once, the text that goes: %q", p.file, runtime.Version(), n, p.old)
	}
	if err := os.WriteFile(overlay[path], []byte(strings.Replace(string(source), p.old, p.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
