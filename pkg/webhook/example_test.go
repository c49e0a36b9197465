package webhook_test

import (
	"fmt"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

func ExampleParse() {
	w, err := webhook.Parse([]byte(vectorBody), webhook.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := w.Events[0]
	fmt.Println(w.Object, e.Kind, e.Asset, e.Person, e.Mid)
	// Output: page message 100200300400500 9001234567890123 m_baton0001
}

func ExampleAppendBody() {
	element, err := webhook.AppendElement(nil, []byte(`{"postback":{"title":"Où ?","payload":"SECRET"}}`), webhook.Edit{DropPayload: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	entry := webhook.Entry{Asset: 100200300400500, Time: 1790000000123, Element: element}
	fmt.Printf("%s\n", webhook.AppendBody(nil, control.ObjectPage, control.ChannelStandby, false, []webhook.Entry{entry}))
	// Output: {"object":"page","entry":[{"id":"100200300400500","time":1790000000123,"standby":[{"postback":{"title":"O\u00f9 ?"}}]}]}
}
