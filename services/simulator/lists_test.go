package simulator_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestListsOfAPage follows a persona and a label through their lives.
func TestListsOfAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	said := w.writes("hello")
	id := func(a answered) string { return fmt.Sprint(a.body["id"]) }
	is := func(method, path, body, want string) {
		t.Helper()
		if got := fmt.Sprint(w.graph(method, path, body).body); !strings.Contains(got, want) {
			t.Errorf("%s %s: %s, want %s", method, path, got, want)
		}
	}
	persona := id(w.graph("POST", "/me/personas", `{"name":"Lena"}`))
	label := id(w.graph("POST", "/me/custom_labels", `{"page_label_name":"vip"}`))
	is("GET", "/me/personas", "", "id:"+persona)
	is("GET", "/me/personas?after="+persona, "", "map[data:[]]")
	is("GET", "/"+persona, "", "name:Lena")
	is("POST", "/"+label+"/label", `{"user":"9001234567890123"}`, "success:true")
	is("GET", "/9001234567890123/custom_labels", "", "id:"+label)
	is("DELETE", "/"+label+"/label?user=9001234567890123", "", "success:true")
	is("GET", "/9001234567890123/custom_labels", "", "data:[]")
	is("POST", "/42/label", `{"user":"9001234567890123"}`, "error_subcode:33")
	is("DELETE", "/"+label, "", "success:true")
	is("DELETE", "/"+persona, "", "success:true")
	is("DELETE", "/"+persona, "", "error_subcode:33")
	is("GET", "/me/personas", "", "data:[]")
	is("GET", "/t_9001234567890123?fields=messages", "", "message:hello")
	is("GET", "/"+said, "", "message:hello")
	is("GET", "/t_42", "", "error_subcode:33")
	is("GET", "/me/insights", "", "data:[]")
}

// TestTheAppAsksAboutItself with its own token, as doctor does.
func TestTheAppAsksAboutItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := "access_token=" + fmt.Sprint(uint64(appID)) + "|" + secret
	for path, want := range map[string]string{
		"/debug_token?input_token=" + token + "&" + own:        "is_valid:true",
		"/v25.0/debug_token?input_token=nobodys&" + own:        "is_valid:false",
		fmt.Sprintf("/%d/subscriptions?", uint64(appID)) + own: "object:instagram",
		"/debug_token?input_token=x&access_token=1|wrong":      "code:101",
		"/me/messages?" + own:                                  "code:2500",
		"/me/secondary_receivers?access_token=" + token:        "id:263902037430900",
	} {
		if got := fmt.Sprint(w.graph("GET", path, "").body); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
