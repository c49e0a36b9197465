package graph_test

import (
	"fmt"

	"github.com/baton-router/baton/pkg/graph"
)

func ExampleDecodeParams() {
	body := []byte("recipient={id:9001234567890123}&target_app_id=263902037430900&access_token=T")
	p, err := graph.DecodeParams("POST", nil, "application/x-www-form-urlencoded", body, graph.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	call, err := graph.DecodePass(p)
	fmt.Println(p.Token(""), call.Recipient, call.Target, err)
	// Output: T 9001234567890123 263902037430900 <nil>
}

func ExampleError_Body() {
	fmt.Printf("%s\n", graph.NoUser().Traced("AbatonTrace0001").Body())
	// Output: {"error":{"message":"(#100) No matching user found","type":"OAuthException","code":100,"error_subcode":2018001,"fbtrace_id":"AbatonTrace0001"}}
}
