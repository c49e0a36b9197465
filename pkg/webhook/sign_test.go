package webhook_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

// The vectors of protocol 4.
const (
	vectorSecret = "baton-test-app-secret"
	vectorBody   = `{"object":"page","entry":[{"id":"100200300400500","time":1790000000123,"messaging":[{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"message":{"mid":"m_baton0001","text":"caf\u00e9 https:\/\/ex.test\/a"}}]}]}`
	vector1      = "sha1=2321d0122c4efb1e8008ac3309d9975e038f519e"
	vector256    = "sha256=04a679b759a0b5ddc5e7d5c65c4e2425215f57124cadbbd6e5c77e035857d783"
)

func TestSignaturesOfTheVector(t *testing.T) {
	t.Parallel()
	if len(vectorBody) != 259 {
		t.Fatalf("the vector has %d bytes", len(vectorBody))
	}
	if got := webhook.Sign256([]byte(vectorSecret), []byte(vectorBody)); got != vector256 {
		t.Error(got)
	}
	if got := webhook.Sign1([]byte(vectorSecret), []byte(vectorBody)); got != vector1 {
		t.Error(got)
	}
}

func TestVerifyUsesSHA1OnlyWhenAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, secret, header256, header1 string
		want                             error
	}{
		{"both", vectorSecret, vector256, vector1, nil},
		{"256 alone", vectorSecret, vector256, "", nil},
		{"1 alone", vectorSecret, "", vector1, nil},
		{"bad 256 beside good 1", vectorSecret, vector256[:len(vector256)-1] + "4", vector1, webhook.ErrSignature},
		{"none", vectorSecret, "", "", webhook.ErrNoSignature},
		{"other secret", "x", vector256, "", webhook.ErrSignature},
		{"no secret", "", webhook.Sign256(nil, []byte(vectorBody)), "", webhook.ErrSignature},
		{"prefix missing", vectorSecret, vector256[7:], "", webhook.ErrSignature},
		{"not hex", vectorSecret, "sha256=zz", "", webhook.ErrSignature},
		{"short", vectorSecret, "sha256=04", "", webhook.ErrSignature},
		{"empty digest", vectorSecret, "sha256=", "", webhook.ErrSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := webhook.Verify([]byte(test.secret), []byte(vectorBody), test.header256, test.header1)
			if !errors.Is(err, test.want) {
				t.Errorf("error = %v, want %v", err, test.want)
			}
		})
	}
}

func TestChallengeAnswersOnlyTheRightToken(t *testing.T) {
	t.Parallel()
	q := func(mode, token, challenge string) url.Values {
		return url.Values{"hub.mode": {mode}, "hub.verify_token": {token}, "hub.challenge": {challenge}}
	}
	if got, ok := webhook.Challenge(q("subscribe", "T", "1158201444"), "T"); !ok || got != "1158201444" {
		t.Errorf("%q, %v", got, ok)
	}
	for _, bad := range []url.Values{q("subscribe", "x", "1"), q("", "T", "1"), q("subscribe", "T", ""), {}} {
		if _, ok := webhook.Challenge(bad, "T"); ok {
			t.Errorf("%v was answered", bad)
		}
	}
	if _, ok := webhook.Challenge(q("subscribe", "", "1"), ""); ok {
		t.Error("an empty token fits")
	}
}
