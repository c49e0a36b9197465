package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "example.com/house"

func TestTreeObeysTheImportLaw(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	faults, err := Check(root, moduleOf(t, root))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// A law that cannot be broken says nothing: each kind of rule is broken here
// once, and each has a neighbour that it must leave alone.
func TestPlantedImports(t *testing.T) {
	t.Parallel()
	const pebble, nats, server = "github.com/cockroachdb/pebble/v2", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2/server"
	for _, c := range []struct {
		file, imported string
		reason         string // part of the fault; "" = allowed
	}{
		// The core.
		{"pkg/control/decide.go", "errors", ""},
		{"pkg/control/decide.go", "time", "time comes in with Env"},
		{"pkg/control/decide_test.go", "time", ""},
		{"pkg/delivery/plan.go", "time", ""},
		{"pkg/delivery/plan.go", "context", whyCore},
		{"pkg/webhook/parse.go", "net/http", whyCore},
		{"pkg/webhook/parse.go", "net/url", ""},
		{"pkg/webhook/parse.go", "net/textproto", ""},
		{"pkg/webhook/parse.go", "mime/multipart", ""},
		{"pkg/graph/error.go", "os", whyCore},
		{"pkg/partition/key.go", "log/slog", whyCore},
		{"pkg/partition/key.go", "sync/atomic", whyCore},
		{"pkg/partition/key.go", "math/rand/v2", whyCore},
		{"pkg/partition/key.go", "math/bits", ""},
		{"pkg/control/decide_test.go", "os", ""},
		{"pkg/control/decide_test.go", "pgregory.net/rapid", ""},
		{"pkg/control/decide.go", "pgregory.net/rapid", whyCore},
		{"pkg/control/decide_test.go", module + "/pkg/eventlog", whyCore},
		{"pkg/control/decide_test.go", module + "/pkg/control", ""},
		{"pkg/delivery/plan.go", module + "/pkg/control", ""},
		{"pkg/control/decide.go", module + "/pkg/delivery", whyCore},
		{"pkg/partition/key.go", module + "/pkg/control", ""},
		{"pkg/webhook/parse.go", module + "/pkg/control", ""},
		{"pkg/webhook/parse.go", module + "/pkg/delivery", whyCore},
		{"pkg/graph/error.go", module + "/pkg/control", "stand alone"},
		{"pkg/control/decide_test.go", module + "/pkg/control/controltest", ""},
		{"pkg/control/decide.go", module + "/pkg/control/controltest", "exists for tests"},
		{"pkg/control/controltest/script.go", "pgregory.net/rapid", ""},
		{"pkg/control/controltest/script.go", module + "/pkg/eventlog", "core's tests"},
		// Ports.
		{"pkg/eventlog/codec.go", module + "/pkg/gen/baton/log/v1", ""},
		{"pkg/eventlog/codec.go", "google.golang.org/protobuf/proto", ""},
		{"pkg/eventlog/codec.go", "connectrpc.com/connect", whyPort},
		{"pkg/eventlog/codec.go", module + "/pkg/store", whyPort},
		{"pkg/eventlog/codec_test.go", module + "/pkg/eventlog/eventlogtest", ""},
		{"pkg/gen/baton/admin/v1/adminv1connect/a.go", "connectrpc.com/connect", ""},
		{"pkg/gen/baton/admin/v1/a.go", module + "/pkg/control", "generated"},
		// Adapters.
		{"pkg/store/log.go", pebble + "/vfs", ""},
		{"pkg/store/log.go", nats, "only pkg/bus"},
		{"pkg/store/log.go", "github.com/prometheus/client_golang/prometheus", whyAdapter},
		{"pkg/store/log.go", module + "/pkg/bus", whyAdapter},
		{"pkg/store/log.go", module + "/pkg/lifecycle", ""},
		{"pkg/store/log.go", "golang.org/x/sync/errgroup", ""},
		{"pkg/store/log_test.go", module + "/pkg/bus", ""},
		{"pkg/store/log.go", module + "/pkg/eventlog/eventlogtest", "exists for tests"},
		{"pkg/store/log_test.go", module + "/pkg/eventlog/eventlogtest", ""},
		{"pkg/store/log_linux.go", module + "/services/ownership", whyAdapter},
		{"pkg/store/log_test.go", module + "/tools/bench", whyAdapter},
		{"pkg/bus/publish.go", nats + "/jetstream", ""},
		{"pkg/bus/publish.go", server, "only pkg/bus/embedded"},
		{"pkg/bus/embedded/embedded.go", server, ""},
		{"pkg/bus/embedded/embedded.go", pebble, "only pkg/store"},
		{"pkg/client/watch.go", nats, "only pkg/bus"},
		{"pkg/client/watch.go", module + "/pkg/bus", ""},
		{"pkg/lifecycle/group.go", module + "/pkg/telemetry", "sees none of them"},
		{"pkg/egress/client.go", "github.com/sony/gobreaker/v2", ""},
		{"pkg/platform/client.go", module + "/pkg/control", ""},
		{"pkg/platform/client.go", module + "/pkg/eventlog", "knows the wire"},
		{"pkg/store/storetest/disk.go", pebble + "/vfs", ""},
		{"pkg/store/storetest/disk.go", module + "/pkg/bus", whyAdapter},
		{"pkg/conformance/world.go", module + "/services/ownership", "nothing under pkg"},
		{"pkg/client/watch.go", module + "/pkg/sim", "exists for tests"},
		// Services.
		{"services/ingress/http.go", module + "/pkg/bus", ""},
		{"services/ingress/http.go", "connectrpc.com/connect", ""},
		{"services/ingress/http.go", module + "/services/fanout", whyService},
		{"services/ingress/http_test.go", module + "/services/fanout", whyService},
		{"services/ingress/http.go", pebble, "only pkg/store"},
		{"services/ingress/http.go", nats, "only pkg/bus"},
		{"services/ingress/http.go", "github.com/prometheus/client_golang/prometheus", whyService},
		{"services/ingress/http.go", module + "/pkg/conformance", "exists for tests"},
		{"services/console/dist/embed.go", "embed", ""},
		// Mains.
		{"services/baton/main.go", module + "/services/ingress", ""},
		{"services/baton/main.go", module + "/pkg/conformance", ""},
		{"services/baton/main.go", "github.com/alecthomas/kong", ""},
		{"services/baton/main.go", server, "only pkg/bus/embedded"},
		{"services/baton/main.go", module + "/tools/bench", "tools do not"},
		{"tools/bench/main.go", module + "/services/baton", ""},
		{"deploy/deploy_test.go", "github.com/goccy/go-yaml", ""},
		{"deploy/deploy_test.go", module + "/services/baton", "deploy holds"},
		// What the law does not know.
		{"pkg/common/helper.go", "strings", "no rule covers"},
		{"services/newcomer/a_test.go", "strings", "no rule covers"},
		{"main.go", "strings", "no rule covers"},
		{"pkg/control/testdata/broken.go", "os", ""},
	} {
		t.Run(c.file+" "+c.imported, func(t *testing.T) {
			t.Parallel()
			faults := check(t, map[string]string{c.file: c.imported})
			switch {
			case c.reason == "" && len(faults) > 0:
				t.Errorf("refused: %v", faults)
			case c.reason != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.reason)):
				t.Errorf("faults %q, want one with %q", faults, c.reason)
			}
		})
	}
}

// Every row of the table can fail, those that TestPlantedImports does not name
// included.
func TestEveryRuleCanFail(t *testing.T) {
	t.Parallel()
	for _, r := range rules {
		if slices.Contains(r.may, "...") {
			continue // the topmost storey
		}
		for _, pattern := range r.packages {
			pkg := strings.TrimSuffix(pattern, "/...")
			faults := check(t, map[string]string{pkg + "/a.go": module + "/tools/any"})
			if len(faults) != 1 || !strings.Contains(faults[0], r.why) {
				t.Errorf("%s importing a tool: faults %q, want the reason %q", pkg, faults, r.why)
			}
		}
	}
}

func TestFaultsAreSortedAndNameTheFile(t *testing.T) {
	t.Parallel()
	faults := check(t, map[string]string{"pkg/graph/b.go": "os", "pkg/control/a.go": "log", "pkg/control/ok.go": "fmt"})
	if len(faults) != 2 || !strings.HasPrefix(faults[0], "pkg/control/a.go imports log: ") || !strings.HasPrefix(faults[1], "pkg/graph/b.go imports os: ") {
		t.Errorf("faults %q", faults)
	}
}

func TestUnreadableSourceIsAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "pkg/control/a.go"), "not Go")
	if _, err := Check(root, module); err == nil {
		t.Error("no error for a file that does not parse")
	}
}

// check plants one file per entry, each with one import, in a new tree.
func check(t *testing.T, files map[string]string) []string {
	t.Helper()
	root := t.TempDir()
	for file, imported := range files {
		write(t, filepath.Join(root, filepath.FromSlash(file)), "package p\n\nimport _ \""+imported+"\"\n")
	}
	faults, err := Check(root, module)
	if err != nil {
		t.Fatal(err)
	}
	return faults
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// moduleOf reads the module path from go.mod.
func moduleOf(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	path, ok := strings.CutPrefix(line, "module ")
	if !ok {
		t.Fatalf("go.mod begins with %q", line)
	}
	return strings.TrimSpace(path)
}
