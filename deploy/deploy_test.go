// Package deploy_test reads the files that an operator installs, so that they
// keep up with the binary and lose none of their protection by an edit.
package deploy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unitFile = "systemd/baton.service"

func TestUnitStartsTheBinaryAsDocumented(t *testing.T) {
	t.Parallel()
	unit := readUnit(t)
	for key, want := range map[string][]string{
		"Service.ExecStart":                {"/usr/bin/baton serve --config /etc/baton/baton.yaml"},
		"Service.ExecStartPre":             {"/usr/bin/baton check --config /etc/baton/baton.yaml"},
		"Service.Restart":                  {"on-failure"},
		"Service.RestartPreventExitStatus": {"2"}, // a wrong configuration does not mend itself
		"Service.TimeoutStopSec":           {"30"},
		"Service.LimitNOFILE":              {"65536"},
		"Service.Environment":              {"BATON_DATA_DIR=%S/baton"},
		"Service.EnvironmentFile":          {"-/etc/baton/baton.env"},
		"Install.WantedBy":                 {"multi-user.target"},
	} {
		if got := unit[key]; !slices.Equal(got, want) {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if len(unit["Service.LoadCredential"]) == 0 {
		t.Error("no LoadCredential: secrets would have to stand in the environment")
	}
}

func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	unit := readUnit(t)
	for _, key := range []string{
		"DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectClock",
		"ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
		"RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC",
	} {
		if got := unit["Service."+key]; !slices.Equal(got, []string{"yes"}) {
			t.Errorf("%s = %q, want yes", key, got)
		}
	}
	for key, want := range map[string][]string{
		"ProtectSystem":           {"strict"},
		"ProtectProc":             {"invisible"},
		"StateDirectory":          {"baton"},
		"StateDirectoryMode":      {"0700"},
		"UMask":                   {"0077"},
		"CapabilityBoundingSet":   {""},
		"AmbientCapabilities":     {""},
		"RestrictAddressFamilies": {"AF_INET AF_INET6 AF_UNIX"},
		"SystemCallArchitectures": {"native"},
		"SystemCallFilter":        {"@system-service", "~@privileged @resources"},
	} {
		if got := unit["Service."+key]; !slices.Equal(got, want) {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"User", "ReadWritePaths", "BindPaths"} {
		if got := unit["Service."+key]; got != nil {
			t.Errorf("%s = %q: DynamicUser and StateDirectory are enough", key, got)
		}
	}
}

// systemd-analyze knows the keys that the tests above do not name, and rates
// what is missing. 20 stands for an exposure of 2.0 out of 10.
func TestSystemdAcceptsTheUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	// verify wants the binary to be there, so the copy names one that is.
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "baton.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/baton", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, analyze, "verify", "--man=no", unit); out != "" {
		t.Errorf("verify complains: %s", out)
	}
	if !strings.Contains(run(t, analyze, "--help"), "--offline") {
		t.Skip("systemd-analyze before version 250 rates running units only")
	}
	run(t, analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit)
}

// run returns the output of a command that must end well.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// readUnit returns the values of each "Section.Key" in their order.
func readUnit(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	unit, section := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !assigned || section == "":
			t.Fatalf("%s: %q is no assignment", unitFile, line)
		default:
			unit[section+"."+key] = append(unit[section+"."+key], value)
		}
	}
	return unit
}
