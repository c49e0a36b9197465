package archtest

import "strings"

// A rule says what the packages it covers may import. Paths without a dot in
// their first element are inside the module; "x/..." stands for x and all
// below it. Nothing that a rule does not name may be imported, except the
// standard library, which is restricted by noStd alone.
type rule struct {
	packages []string // what the rule covers; the first rule that covers a package counts
	may      []string // packages of this module
	vendor   []string // modules of other people
	noStd    []string // standard packages that are refused, with all below them
	testMay  []string // what test files may import of this module besides may
	why      string   // the reason, printed with each violation
}

// Groups of packages that several rules name.
var (
	core      = []string{"pkg/control", "pkg/delivery", "pkg/partition", "pkg/webhook", "pkg/graph"}
	coreTests = []string{"pkg/control/controltest"}
	ports     = []string{"pkg/eventlog", "pkg/inbound", "pkg/gen/..."}
	below     = append([]string{"pkg/lifecycle"}, append(core, ports...)...) // what every adapter may see

	impure   = []string{"context", "net", "os", "log", "sync", "math/rand", "crypto/rand", "syscall"}
	pureEven = []string{"net/url", "net/textproto"} // below a refused package, yet pure
	protobuf = []string{"google.golang.org/protobuf"}
	extended = []string{"golang.org/x/sync", "golang.org/x/sys"} // the standard library's annexe, for adapters
)

const (
	whyCore    = "the core is deterministic: input in, decision out, the caller does the I/O"
	whyPort    = "a port knows the core and the stored form of things, never who stores them"
	whyAdapter = "an adapter knows the storeys below and its one vendor module, so that either can be replaced alone"
	whyService = "a service meets other services through the log and the bus, and vendors through pkg"
)

// rules is the law, from the ground up.
var rules = []rule{
	{packages: []string{"pkg/control"}, noStd: append([]string{"time"}, impure...), testMay: coreTests, why: whyCore + "; time comes in with Env"},
	{packages: []string{"pkg/delivery"}, may: []string{"pkg/control", "pkg/webhook"}, noStd: impure, testMay: coreTests, why: whyCore},
	{packages: []string{"pkg/partition", "pkg/webhook"}, may: []string{"pkg/control"}, noStd: impure, testMay: coreTests, why: whyCore},
	{packages: []string{"pkg/graph"}, noStd: impure, why: whyCore + "; the platform's shapes stand alone"},
	{packages: []string{"pkg/repair"}, may: []string{"pkg/control"}, noStd: impure, why: "what the roles say of a repair, and nothing that does one"},
	{packages: coreTests, may: []string{"pkg/control"}, vendor: testVendor, why: "the core's tests run where the core runs: on nothing"},

	{packages: []string{"pkg/eventlog"}, may: []string{"pkg/control", "pkg/partition", "pkg/webhook", "pkg/gen/..."}, vendor: protobuf, testMay: []string{"pkg/..."}, why: whyPort},
	{packages: []string{"pkg/inbound"}, may: []string{"pkg/control", "pkg/webhook", "pkg/gen/..."}, vendor: protobuf, why: whyPort},
	{packages: []string{"pkg/eventlog/eventlogtest"}, may: append([]string{"pkg/eventlog"}, append(core, "pkg/gen/...")...), vendor: append(testVendor, protobuf...), why: whyPort},
	{packages: []string{"pkg/gen/..."}, may: []string{"pkg/gen/..."}, vendor: append([]string{"connectrpc.com/connect"}, protobuf...), why: "generated code stands on its own runtime"},

	adapter("pkg/store", "github.com/cockroachdb/pebble/v2"),
	{packages: []string{"pkg/store/storetest"}, may: append([]string{"pkg/store"}, below...), vendor: append([]string{"github.com/cockroachdb/pebble/v2"}, testVendor...), why: whyAdapter},
	adapter("pkg/bus", "github.com/nats-io/nats.go", "github.com/nats-io/nuid", "google.golang.org/protobuf"),
	{packages: []string{"pkg/bus/embedded/streamindex"}, vendor: []string{"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "github.com/minio/highwayhash"}, why: whyAdapter},
	{packages: []string{"pkg/bus/embedded"}, may: append([]string{"pkg/bus", "pkg/bus/embedded/streamindex"}, below...), vendor: append([]string{"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go"}, extended...), testMay: []string{"pkg/..."}, why: whyAdapter},
	{packages: []string{"pkg/bus/embedded/embeddedtest"}, may: append([]string{"pkg/bus", "pkg/bus/embedded"}, below...), vendor: testVendor, why: whyAdapter},
	adapter("pkg/roster", "github.com/goccy/go-yaml"),
	adapter("pkg/telemetry", "github.com/prometheus", "go.opentelemetry.io/otel"),
	{packages: []string{"pkg/lifecycle/porttest"}, why: "it asks the system for ports and nobody else for anything"},
	{packages: []string{"pkg/lifecycle"}, vendor: extended, why: "every adapter may see lifecycle, so it sees none of them"},
	{packages: []string{"pkg/client"}, may: append([]string{"pkg/bus"}, below...), vendor: extended, testMay: []string{"pkg/..."}, why: "other people's programs import it: NATS comes through pkg/bus"},
	adapter("pkg/egress", "golang.org/x/time", "github.com/sony/gobreaker/v2"),
	adapter("pkg/assignment"),
	{packages: []string{"pkg/contract"}, may: append([]string{"pkg/egress"}, below...), testMay: []string{"pkg/..."}, why: "the test of other people's endpoints stands on the wire and the way out alone"},
	{packages: []string{"pkg/deadletter"}, may: append([]string{"pkg/bus"}, below...), vendor: protobuf, testMay: []string{"pkg/..."}, why: "dead letters are on a stream: NATS comes through pkg/bus"},
	{packages: []string{"pkg/backup"}, may: append([]string{"pkg/bus", "pkg/deadletter"}, below...), vendor: []string{"github.com/klauspost/compress"}, testMay: []string{"pkg/..."}, why: "a backup is of streams: NATS comes through pkg/bus"},
	{packages: []string{"pkg/platform"}, may: core, vendor: extended, testMay: []string{"pkg/..."}, why: "the client of the platform knows the wire and the words of the core, nothing that stores or serves"},

	{packages: []string{"pkg/sim/..."}, may: []string{"pkg/...", "services/..."}, vendor: append([]string{"golang.org/x/sync"}, protobuf...), why: "the simulation stands on the services as a test does, and on no vendor"},
	{packages: []string{"pkg/conformance/..."}, may: []string{"pkg/..."}, vendor: append([]string{"github.com/goccy/go-yaml", "golang.org/x/sync"}, testVendor...), why: "nothing under pkg sees services or tools: they are the ones that drive it"},

	service("ingress"), service("ownership"), service("fanout"), service("graphapi"), service("simulator"), service("demoapps"), service("console"),

	{packages: []string{"services/baton/..."}, may: []string{"pkg/...", "services/..."}, vendor: []string{"..."}, testMay: []string{"tools/..."}, why: "the binary ships; tools do not"},
	{packages: []string{"tools/..."}, may: []string{"..."}, vendor: []string{"..."}, why: "tools stand above everything"},
	{packages: []string{"deploy/..."}, may: []string{"pkg/..."}, vendor: []string{"github.com/goccy/go-yaml"}, why: "deploy holds files and the tests that read them"},
}

// homes names the vendor modules that only one place may import, tests and
// mains included.
var homes = []struct {
	module   string
	packages []string
	why      string
}{
	{"github.com/cockroachdb/pebble", []string{"pkg/store/..."}, "the key layout and the crash rules live in one place"},
	{"github.com/nats-io/nats-server", []string{"pkg/bus/embedded", "pkg/bus/embedded/streamindex"}, "who wants a server asks embedded for one"},
	{"github.com/nats-io/nats.go", []string{"pkg/bus/..."}, "the fence holds only if every publish goes through one place"},
}

// testVendor may be imported by every test file.
var testVendor = []string{"github.com/google/go-cmp", "pgregory.net/rapid", "go.uber.org/goleak"}

// forTests covers packages that exist for tests; only tests, tools, the
// binary and each other import them.
func forTests(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || covers("pkg/sim/...", pkg) || covers("pkg/conformance/...", pkg)
}

func adapter(pkg string, vendor ...string) rule {
	return rule{packages: []string{pkg}, may: below, vendor: append(vendor, extended...), testMay: []string{"pkg/..."}, why: whyAdapter}
}

func service(role string) rule {
	own := "services/" + role + "/..."
	return rule{packages: []string{own}, may: []string{"pkg/...", own}, vendor: append([]string{"connectrpc.com/connect", "golang.org/x/sync", "golang.org/x/time"}, protobuf...), why: whyService}
}
