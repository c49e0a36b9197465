package graphapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestEntriesOfListsAreRemoved: a persona or label goes by its own id, and only
// after the platform has listed it as one of the page's.
func TestEntriesOfListsAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.platform.answers(func(rw http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		switch {
		case r.Method == http.MethodDelete:
			_, _ = io.WriteString(rw, `{"success":true}`)
		case strings.HasSuffix(r.URL.Path, "/personas") && after == "":
			_, _ = io.WriteString(rw, `{"data":[{"id":"71"}],"paging":{"cursors":{"after":"c1"},"next":"https://graph.example/more"}}`)
		case strings.HasSuffix(r.URL.Path, "/personas"):
			_, _ = io.WriteString(rw, `{"data":[{"id":"72"}],"paging":{"cursors":{"after":"c2"}}}`)
		default:
			_, _ = io.WriteString(rw, `{"data":[{"id":"81"}]}`)
		}
	})
	removed := func() (paths []string) {
		for _, c := range w.platform.calls() {
			if c.method == http.MethodDelete {
				paths = append(paths, c.path)
			}
		}
		return paths
	}
	for _, id := range []string{"72", "81"} { // a persona on the second page, a label
		w.is(w.call(http.MethodDelete, "/v25.0/"+id+"?access_token=TA", "", ""), `{"success":true}`)
		if last := w.last(); last.method != http.MethodDelete || last.path != "/"+id || last.token != "PAGE" {
			t.Errorf("%s %s", last.method, last.path)
		}
	}
	w.refused(w.call(http.MethodDelete, "/"+person+"?access_token=TA", "", ""), 100, 33)
	w.refused(w.call(http.MethodDelete, "/71?access_token=TD", "", ""), 200, 0)
	w.is(w.call(http.MethodPost, "/71?method=DELETE&access_token=TA", "", ""), `{"success":true}`)
	if got := removed(); len(got) != 3 {
		t.Errorf("removed %v", got)
	}
	w.refuses(403, `{"error":{"code":200}}`)
	if g := w.call(http.MethodDelete, "/71?access_token=TA", "", ""); g.status != 403 || g.body != `{"error":{"code":200}}` {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.answersWith("[")
	if g := w.call(http.MethodDelete, "/71?access_token=TA", "", ""); g.status != http.StatusServiceUnavailable || len(removed()) != 3 {
		t.Errorf("%d %s, removed %v", g.status, g.body, removed())
	}
}
