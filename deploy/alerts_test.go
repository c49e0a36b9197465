package deploy_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/baton-router/baton/pkg/telemetry"
)

const (
	alertsFile     = "prometheus/alerts.yml"
	alertsTestFile = "prometheus/alerts_test.yml"
)

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// metricName finds what may be a metric of Baton in an expression; labels and
// functions do not begin so.
var metricName = regexp.MustCompile(`\bbaton_\w+`)

func TestAlertsNameExistingMetrics(t *testing.T) {
	t.Parallel()
	known := telemetry.Names()
	for _, a := range readAlerts(t) {
		names := metricName.FindAllString(a.Expr, -1)
		if len(names) == 0 {
			t.Errorf("%s watches no metric of Baton: %s", a.Alert, a.Expr)
		}
		for _, name := range names {
			// A histogram called x_seconds is queried as x_seconds_bucket.
			if !slices.Contains(known, name) && !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s names %s, which Baton does not have", a.Alert, name)
			}
		}
	}
}

func TestAlertsSayWhatItMeansAndWhatToDo(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, a := range readAlerts(t) {
		if !strings.HasPrefix(a.Alert, "Baton") || seen[a.Alert] {
			t.Errorf("alert %q: the name is not Baton's own, or stands twice", a.Alert)
		}
		seen[a.Alert] = true
		if severity := a.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", a.Alert, severity)
		}
		if a.Annotations["summary"] == "" || a.Annotations["action"] == "" {
			t.Errorf("%s: summary or action is missing", a.Alert)
		}
	}
}

func TestEveryAlertFiresInATest(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile(alertsTestFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range readAlerts(t) {
		if !strings.Contains(string(tests), `alertname="`+a.Alert+`", alertstate="firing"`) {
			t.Errorf("%s fires in no test of %s", a.Alert, alertsTestFile)
		}
	}
}

func TestPrometheusAcceptsTheAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here (Debian: package prometheus)")
	}
	run(t, promtool, "check", "rules", alertsFile)
	run(t, promtool, "test", "rules", alertsTestFile)
}

func readAlerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	var alerts []alert
	for _, group := range file.Groups {
		alerts = append(alerts, group.Rules...)
	}
	if len(alerts) == 0 {
		t.Fatal("no alert")
	}
	return alerts
}
