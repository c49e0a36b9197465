package control_test

import (
	"flag"
	"testing"

	"github.com/baton-router/baton/pkg/control/controltest"
)

var rewrite = flag.Bool("rewrite", false, "write what was decided to the scenario files")

// TestScenarios runs the scripts of behaviour over time.
func TestScenarios(t *testing.T) {
	t.Parallel()
	controltest.Run(t, controltest.Load(t, "testdata/scenarios/*.txt"), controltest.Options{Rewrite: *rewrite})
}
