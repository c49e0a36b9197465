package graphapi

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheMatrixIsTrue compares the edges that COMPATIBILITY.md names, and their
// methods, with the router's.
func TestTheMatrixIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string][]string{}
	table := text[strings.Index(string(text), "## Edges"):strings.Index(string(text), "Passed through to")]
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_]+`|the page itself) \\| ([A-Z ]+) \\|").FindAllStringSubmatch(string(table), -1) {
		edge := strings.Trim(row[1], "`")
		if edge == "the page itself" {
			edge = ""
		}
		named[edge] = slices.Sorted(slices.Values(strings.Fields(row[2])))
	}
	routed := map[string][]string{"subscriptions": {"DELETE", "GET", "POST"}, rootEdge: {"GET"}}
	for edge, methods := range routes() {
		routed[edge] = slices.Sorted(maps.Keys(methods))
	}
	if diff := cmp.Diff(routed, named); diff != "" {
		t.Errorf("the router and the matrix differ (-router +matrix)\n%s", diff)
	}
	for edge := range unbound() {
		if _, ok := named[edge]; !ok {
			t.Errorf("%s is not in the matrix", edge)
		}
	}
}
