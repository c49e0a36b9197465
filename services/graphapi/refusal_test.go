package graphapi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
)

// TestEveryReasonHasItsGraphError compares the whole mapping with a file that
// is read by people.
func TestEveryReasonHasItsGraphError(t *testing.T) {
	t.Parallel()
	page, account := &control.Page{}, &control.Page{Object: control.ObjectInstagram}
	var b strings.Builder
	for r := control.Reason(1); r.String() != ""; r++ {
		e := Refusal(control.Refusal{Reason: r}, page)
		fmt.Fprintf(&b, "%s %d/%d %s\n", r, e.Code, e.Subcode, e.Message)
		if strings.Contains(e.Message, "The call is not valid") {
			t.Errorf("%s has no error of its own", r)
		}
		if ig := Refusal(control.Refusal{Reason: r}, account); ig.Subcode != e.Subcode {
			fmt.Fprintf(&b, "%s on instagram %d/%d %s\n", r, ig.Code, ig.Subcode, ig.Message)
		}
	}
	path := filepath.Join("testdata", "refusals.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestInstagramSendsMayUseTheOtherCode(t *testing.T) {
	t.Parallel()
	p := &control.Page{Object: control.ObjectInstagram, InstagramSendCode: true}
	if e := Refusal(control.Refusal{Reason: control.ReasonSendNotOwner}, p); e.Code != 100 || e.Subcode != 2534037 {
		t.Errorf("%d/%d", e.Code, e.Subcode)
	}
}

func TestDetailExplainsItself(t *testing.T) {
	t.Parallel()
	e := Refusal(control.Refusal{
		Reason: control.ReasonTakeNotAllowed, Owner: 700000000000002, Since: 1790000000123, Until: 1790086400001, Next: control.NextRequest,
	}, &control.Page{})
	want := `{"baton_reason":"TAKE_NOT_ALLOWED","owner":"700000000000002","since":1790000000,"until":1790086401,` +
		`"next":"request_thread_control","explain":"the app may not take control here"}`
	if diff := cmp.Diff(want, e.ErrorData); diff != "" {
		t.Error(diff)
	}
}
