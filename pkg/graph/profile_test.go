package graph_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/graph"
)

const goodMenu = `[{"locale":"default","composer_input_disabled":false,"call_to_actions":[` +
	`{"type":"postback","title":"Help","payload":"HELP"},{"type":"web_url","title":"Shop","url":"https://shop.test","webview_height_ratio":"full"}]},` +
	`{"locale":"de_DE","composer_input_disabled":true}]`

func TestProfiles(t *testing.T) {
	t.Parallel()
	all := `"get_started":{"payload":"GO"},"greeting":[{"locale":"default","text":"Hi"}],"persistent_menu":` + goodMenu +
		`,"ice_breakers":[{"locale":"default","call_to_actions":[{"question":"Open?","payload":"HOURS"}]}],` +
		`"whitelisted_domains":["https://shop.test"],"commands":[{"locale":"default","commands":[{"name":"hours","description":"When"}]}],` +
		`"account_linking_url":"https://shop.test/link"`
	set, err := graph.DecodeProfile(body(t, `{`+all+`,"platform":"messenger","subject":1}`))
	if err != nil {
		t.Fatal(err)
	}
	var names, values []string
	for _, p := range set {
		names, values = append(names, p.Name), append(values, string(p.Value))
	}
	if diff := cmp.Diff(graph.ProfileProperties(), names); diff != "" {
		t.Error(diff)
	}
	if values[2] != goodMenu || values[6] != `"https://shop.test/link"` {
		t.Error(values)
	}
	older, err := graph.DecodeProfile(decode(t, "POST", "", "application/x-www-form-urlencoded",
		`ice_breakers=[{"question":"Open?","payload":"HOURS"}]&get_started={payload:GO}`))
	if err != nil || len(older) != 2 || string(older[0].Value) != `{"payload":"GO"}` {
		t.Errorf("%+v %v", older, err)
	}
}

func TestProfilesRefuse(t *testing.T) {
	t.Parallel()
	item := `{"type":"postback","title":"T","payload":"P"}`
	menu := func(entry string) string { return `{"persistent_menu":[` + entry + `]}` }
	for json, want := range map[string]string{
		`{}`:                            "Requires one of the params: get_started,greeting,persistent_menu,ice_breakers,whitelisted_domains,commands,account_linking_url",
		`{"get_started":"GO"}`:          "Param get_started must be valid JSON: ",
		`{"get_started":["GO"]}`:        "Param get_started must be an object with a payload",
		`{"get_started":{"payload":1}}`: "Param get_started must be an object with a payload",
		`{"get_started":{}}`:            "Param get_started[payload] is required",
		`{"get_started":{"payload":"` + strings.Repeat("é", 1001) + `"}}`: "Param get_started[payload] must be at most 1000 characters long",
		`{"greeting":{}}`: "Param greeting must be an array with at least one entry",
		`{"greeting":[]}`: "Param greeting must be an array with at least one entry",
		`{"greeting":[{"locale":"de_DE","text":"x"}]}`:                                                                      `Param greeting must have an entry with the locale "default"`,
		`{"greeting":[{"locale":"default","text":5}]}`:                                                                      "Param greeting has a field of the wrong type",
		`{"greeting":[{"text":"x"}]}`:                                                                                       "Param greeting[locale] is required",
		`{"greeting":[{"locale":"default","text":"` + strings.Repeat("x", 161) + `"}]}`:                                     "Param greeting[text] must be at most 160 characters long",
		menu(`{"locale":"default"}`):                                                                                        "Param persistent_menu[call_to_actions] is required unless composer_input_disabled is true",
		menu(`{"call_to_actions":[` + item + `]}`):                                                                          "Param persistent_menu[locale] is required",
		menu(`{"locale":"default","call_to_actions":[` + strings.Repeat(item+",", 20) + item + `]}`):                        "Param persistent_menu[call_to_actions] has more than 20 entries",
		menu(`{"locale":"default","call_to_actions":[{"type":"nested","title":"T"}]}`):                                      "Param persistent_menu[type] must be one of {web_url, postback}",
		menu(`{"locale":"default","call_to_actions":[{"type":"postback","title":"T"}]}`):                                    "Param persistent_menu[payload] is required",
		menu(`{"locale":"default","call_to_actions":[{"type":"postback","payload":"P"}]}`):                                  "Param persistent_menu[title] is required",
		menu(`{"locale":"default","call_to_actions":[{"type":"web_url","title":"T","url":"javascript:1"}]}`):                "Param persistent_menu[url] must be an http or https URL",
		menu(`{"locale":"default","call_to_actions":[` + item + `]},{"locale":"default","call_to_actions":[` + item + `]}`): "Param persistent_menu has the locale default twice",
		`{"ice_breakers":[` + strings.Repeat(`{"question":"Q","payload":"P"},`, 4) + `{"question":"Q","payload":"P"}]}`:     "Param ice_breakers has more than 4 questions",
		`{"ice_breakers":[{"locale":"default","call_to_actions":[{"question":"Q"}]}]}`:                                      "Param ice_breakers[payload] is required",
		`{"ice_breakers":[{"locale":"de_DE","call_to_actions":[{"question":"Q","payload":"P"}]}]}`:                          `Param ice_breakers must have an entry with the locale "default"`,
		`{"whitelisted_domains":["http://shop.test"]}`:                                                                      "Param whitelisted_domains must hold https URLs only",
		`{"whitelisted_domains":[1]}`:                                                                                       "Param whitelisted_domains has a field of the wrong type",
		`{"whitelisted_domains":[` + strings.Repeat(`"https://a.test",`, 50) + `"https://b.test"]}`:                         "Param whitelisted_domains has more than 50 entries",
		`{"commands":[{"locale":"default","commands":[{"name":"x"}]}]}`:                                                     "Param commands[description] is required",
		`{"account_linking_url":"shop.test"}`:                                                                               "Param account_linking_url must be an https URL",
		`{"greeting":[{"locale":"default","text":"x","pad":"` + strings.Repeat("x", graph.MaxProperty) + `"}]}`:             "Param greeting is longer than 65536 bytes",
	} {
		_, err := graph.DecodeProfile(body(t, json))
		if e := graph.AsError(err); err == nil || e.Code != 100 || !strings.HasPrefix(e.Message, "(#100) "+want) {
			t.Errorf("%.80s: %v", json, err)
		}
	}
}

func TestProfileFields(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"fields":["persistent_menu","greeting"]}`: {"persistent_menu", "greeting"},
		`{"fields":"persistent_menu, greeting"}`:    {"persistent_menu", "greeting"},
	} {
		if got, err := graph.DecodeProfileFields(body(t, text)); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%v %v", got, err)
		}
	}
	for _, text := range []string{`{}`, `{"fields":[]}`, `{"fields":["nothing"]}`} {
		if _, err := graph.DecodeProfileFields(body(t, text)); graph.AsError(err).Code != 100 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUserSettings(t *testing.T) {
	t.Parallel()
	u, err := graph.DecodeUserMenu(body(t, `{"psid":"9001","persistent_menu":`+goodMenu+`}`))
	want := graph.UserSettings{Person: 9001, Menu: []byte(goodMenu), Payloads: []string{"HELP"}}
	if diff := cmp.Diff(want, u); diff != "" || err != nil {
		t.Error(diff, err)
	}
	u, err = graph.DecodeUserRemoval(body(t, `{"psid":9001,"params":["persistent_menu"]}`))
	if diff := cmp.Diff(graph.UserSettings{Person: 9001}, u); diff != "" || err != nil {
		t.Error(diff, err)
	}
	set := func(p graph.Params) error { _, err := graph.DecodeUserMenu(p); return err }
	remove := func(p graph.Params) error { _, err := graph.DecodeUserRemoval(p); return err }
	ask := func(p graph.Params) error { _, err := graph.DecodeUserQuestion(p); return err }
	many := strings.Split("default,a,b,c,d,e,f,g,h,i,j", ",")
	for i, locale := range many {
		many[i] = `{"locale":"` + locale + `","call_to_actions":[` + strings.TrimSuffix(strings.Repeat(`{"type":"postback","title":"T","payload":"P"},`, 20), ",") + `]}`
	}
	for _, c := range []struct {
		call    func(graph.Params) error
		body    string
		subcode int
	}{
		{set, `{"persistent_menu":` + goodMenu + `}`, 0},
		{set, `{"psid":"PSID","persistent_menu":` + goodMenu + `}`, 2018001},
		{set, `{"psid":"9001"}`, 0},
		{set, `{"psid":"9001","persistent_menu":[]}`, 0},
		{set, `{"psid":"9001","persistent_menu":[` + strings.Join(many, ",") + `]}`, 0},
		{remove, `{"psid":"9001"}`, 0},
		{remove, `{"psid":"9001","params":["greeting"]}`, 0},
		{remove, `{"params":["persistent_menu"]}`, 0},
		{ask, `{}`, 0},
		{ask, `{"psid":"-1"}`, 2018001},
	} {
		err := c.call(body(t, c.body))
		if e := graph.AsError(err); err == nil || e.Code != 100 || e.Subcode != c.subcode {
			t.Errorf("%.80s: %v", c.body, err)
		}
	}
}

func FuzzDecodeProfile(f *testing.F) {
	f.Add(`{"persistent_menu":` + goodMenu + `,"psid":"1","params":["persistent_menu"]}`)
	f.Add(`{"ice_breakers":[{"question":"Q","payload":"P"}],"get_started":{payload:GO},"fields":"greeting"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := graph.DecodeParams("POST", nil, jsonType, []byte(text), graph.Limits{})
		if err != nil {
			return
		}
		_, err = graph.DecodeProfile(p)
		mustBeError(t, err)
		_, err = graph.DecodeProfileFields(p)
		mustBeError(t, err)
		u, err := graph.DecodeUserMenu(p)
		mustBeError(t, err)
		if err == nil && (u.Person == 0 || len(u.Menu) == 0) {
			t.Errorf("%+v", u)
		}
		_, err = graph.DecodeUserRemoval(p)
		mustBeError(t, err)
	})
}
