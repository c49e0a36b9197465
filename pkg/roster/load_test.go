package roster

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// environ is what the sample of the design wants set.
func environ() []string {
	return []string{
		"ADMIN_TOKEN=admin-secret", "PLATFORM_APP_SECRET=platform-secret", "PLATFORM_VERIFY_TOKEN=verify",
		"FAQ_SECRET=faq-secret", "ACME_PAGE_TOKEN=page-token", "FAQ_ACME_TOKEN=faq-token",
	}
}

func sample(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDesignSampleLoadsUnchanged(t *testing.T) {
	t.Parallel()
	c, err := Load(Source{Name: "baton.yaml", Data: sample(t), Environ: environ()})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Apps[0].Secret.Value(); got != "faq-secret" {
		t.Errorf("secret %q", got)
	}
	if got := time.Duration(c.Pages[0].Routing.Expiry); got != 24*time.Hour {
		t.Errorf("expiry %s", got)
	}
	if c.Pages[0].Routing.OwnerSendExtends != nil {
		t.Error("null switch is set")
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestDesignSampleNamesEveryMissingSecret(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{Name: "baton.yaml", Data: sample(t)})
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) != 6 {
		t.Fatalf("want six faults, got %v", err)
	}
	golden(t, "design_secrets.txt", err.Error()+"\n")
	if _, err := Load(Source{Name: "baton.yaml", Data: sample(t), KeepReferences: true}); err != nil {
		t.Errorf("checked without secrets: %v", err)
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Load(Source{Name: "baton.yaml", Data: data})
	if err == nil {
		t.Fatal("no faults")
	}
	golden(t, "faults.txt", err.Error()+"\n")
}

func TestSingleFaults(t *testing.T) {
	t.Parallel()
	base := "platform: {graph_url: simulator}\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"empty file":        {"", "baton.yaml:1:1: platform.app_id: is missing"},
		"not a mapping":     {"hello", "baton.yaml:1:1: the document: expected a mapping, found \"hello\""},
		"syntax":            {"a: [", "baton.yaml:1:4: sequence end token ']' not found"},
		"two documents":     {base + "---\na: 1\n", "baton.yaml:2:1: more than one document in the file"},
		"unknown key":       {base + "lisen: {}\n", `baton.yaml:2:1: unknown key "lisen" in the document (did you mean "listen"?)`},
		"list for value":    {base + "data_dir: [x]\n", "baton.yaml:2:11: data_dir: expected a single value, found a list"},
		"value for list":    {base + "apps: 3\n", `baton.yaml:2:7: apps: expected a list, found "3"`},
		"merge key":         {base + "<<: {}\n", "baton.yaml:2:1: merge keys are not supported"},
		"unknown alias":     {base + "data_dir: *x\n", `baton.yaml:2:11: unknown alias "x"`},
		"log retention":     {base + "retention: {log: 1h}\n", `baton.yaml:2:13: retention.log: the log is kept for ever: verify and replay need all of it; remove the setting or set 0`},
		"negative duration": {base + "retention: {inbound: -1h}\n", `baton.yaml:2:22: retention.inbound: "-1h" is negative`},
		"cluster embedded":  {base + "durability: cluster\n", "baton.yaml:2:1: durability: cluster needs nats.url: the embedded server is a single one"},
		"tls halves":        {base + "listen: {tls: {cert: a.pem}}\n", "baton.yaml:2:10: listen.tls: cert and key belong together"},
		"nats exposed":      {base + "nats: {listen: \"0.0.0.0:4222\", readers: [{name: a, password: b}]}\n", "baton.yaml:2:8: nats.listen: 0.0.0.0:4222 is not loopback: that needs nats.readers and nats.tls"},
		"admin exposed":     {base + "listen: {admin: \":8081\"}\n", "baton.yaml:2:10: listen.admin: :8081 is not loopback: that needs admin.tokens"},
		"admin role":        {base + "admin: {tokens: [{name: a, token: b, role: root}]}\n", `baton.yaml:2:38: admin.tokens[0].role: "root" is none of viewer, operator, admin`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Source{Name: "baton.yaml", Data: []byte(c.yaml)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %s\ngot  %v", c.want, err)
			}
		})
	}
}

func TestOrderIsDefaultsFileEnvironmentFlags(t *testing.T) {
	t.Parallel()
	s := Source{Name: "baton.yaml", Data: []byte("platform: {graph_url: simulator}\nlisten: {public: \"127.0.0.1:1\", admin: \"127.0.0.1:2\"}\ndata_dir: /file\n")}
	s.Environ = []string{"BATON_LISTEN_PUBLIC=127.0.0.1:3", "BATON_LISTEN_ADMIN=127.0.0.1:4", "BATON_DATADIR=/typo"}
	s.Flags = map[string]string{"listen.public": "127.0.0.1:5"}
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.DataDir, c.Listen.Admin, c.Listen.Public, c.NATS.Listen}
	if diff := cmp.Diff([]string{"/file", "127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:4222"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{`BATON_DATADIR sets nothing (did you mean "BATON_DATA_DIR"?)`}, c.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestFaultOfAVariableNamesIt(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{
		Name: "baton.yaml", Data: []byte("platform: {graph_url: simulator}\n"),
		Environ: []string{"BATON_PARTITIONS=many", "BATON_DURABILITY=none"}, Flags: map[string]string{"listen.pubic": "x"},
	})
	golden(t, "variables.txt", err.Error()+"\n")
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	c, err := Load(Source{Name: "baton.yaml", Data: sample(t), Environ: environ()})
	if err != nil {
		t.Fatal(err)
	}
	c.Apps[0].Secret = NewSecret("literal-secret")
	data, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"literal-secret", "faq-token", "platform-secret", "admin-secret"} {
		if strings.Contains(string(data), leak) {
			t.Errorf("%s is shown in\n%s", leak, data)
		}
	}
	if !strings.Contains(string(data), "env:FAQ_ACME_TOKEN") {
		t.Errorf("references are not shown:\n%s", data)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"design.yaml", "faults.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &x [*x]\nb: *x\n"))
	f.Add([]byte("apps: &a [{id: 1}]\npages: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load(Source{Name: "f", Data: data, KeepReferences: true})
		if err != nil {
			return
		}
		d, _ := FromConfig(c, Document{})
		if _, err := Compile(d, 1); err != nil {
			t.Errorf("a valid file does not compile: %v", err)
		}
	})
}
