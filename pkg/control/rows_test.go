package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control/controltest"
)

// tableModes says in which modes each row of the conformance table must run;
// rows for "*" run in all four. Rows not named here are "*".
const tableModes = `
01:h 02:h0 03:z 04:d 05:d 06:d 10:d 23:h 24:z 25:h,h0,z 26:d 27:d 28:h 29:h 30:d 31:d 41:d 42:h,h0,z 44:z 45:h 46:h
47:h,h0 48:z 49:d 50:d 51:d 53:h 54:h,h0,z 55:h,h0,z 56:h,h0,z 57:h0,z 58:h,h0,z 59:d 60:h 68:z 70:d 71:d 72:d
73:h,h0,z 74:d 77:h 78:h0,z 79:d 80:h 81:h 82:h0 89:h 92:h,h0,z 93:h 94:d 96:h,d 100:h 102:d`

const lastRow = 103

// TestRows runs the conformance table; pkg/delivery runs it again with the
// deliveries.
func TestRows(t *testing.T) {
	t.Parallel()
	controltest.Run(t, controltest.Load(t, "testdata/rows/*.txt"), controltest.Options{})
}

// TestEveryRowRunsInEveryModeItNames counts a block "row 21-…" for row 21.
func TestEveryRowRunsInEveryModeItNames(t *testing.T) {
	t.Parallel()
	ran := map[string][]string{}
	for _, b := range controltest.Load(t, "testdata/rows/*.txt") {
		row, _, _ := strings.Cut(strings.TrimPrefix(b.ID, "row "), "-")
		ran[row] = append(ran[row], b.Modes...)
	}
	modes := map[string]string{}
	for entry := range strings.FieldsSeq(tableModes) {
		row, list, _ := strings.Cut(entry, ":")
		modes[row] = list
	}
	for _, row := range tableRows() {
		want := "h,h0,z,d"
		if list, ok := modes[row]; ok {
			want = list
		}
		for mode := range strings.SplitSeq(want, ",") {
			if !slices.Contains(ran[row], mode) {
				t.Errorf("row %s does not run in mode %s", row, mode)
			}
		}
	}
}

func tableRows() []string {
	rows := []string{"17b"}
	for n := 1; n <= lastRow; n++ {
		row := string(rune('0'+n/10%10)) + string(rune('0'+n%10))
		if n >= 100 {
			row = "1" + row
		}
		rows = append(rows, row)
	}
	return rows
}
