package webhook_test

import (
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

// The vector of the Standard Webhooks libraries.
const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	standardTime   = 1614265330
	standardBody   = `{"test": 2432232314}`
	standardWant   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestStandardSignatureOfTheVector(t *testing.T) {
	t.Parallel()
	s := webhook.NewStandardSigner([]byte(standardSecret))
	for range 2 { // a signer is used again
		if got := s.Sign(standardID, standardTime, []byte(standardBody)); got != standardWant {
			t.Errorf("%s, want %s", got, standardWant)
		}
	}
}

func TestEveryValidSecretSigns(t *testing.T) {
	t.Parallel()
	both := webhook.NewStandardSigner([]byte("a new secret"), []byte(standardSecret), nil)
	got := strings.Split(both.Sign(standardID, standardTime, []byte(standardBody)), " ")
	if len(got) != 2 || got[1] != standardWant || got[0] == got[1] {
		t.Errorf("signatures %q", got)
	}
	alone := webhook.NewStandardSigner([]byte("a new secret")).Sign(standardID, standardTime, []byte(standardBody))
	if got[0] != alone {
		t.Errorf("the newest comes first: %q, want %q", got[0], alone)
	}
	for name, other := range map[string]string{
		"id":   both.Sign("msg_other", standardTime, []byte(standardBody)),
		"time": both.Sign(standardID, standardTime+1, []byte(standardBody)),
		"body": both.Sign(standardID, standardTime, []byte(standardBody+" ")),
	} {
		if strings.Contains(other, standardWant) {
			t.Errorf("another %s has the same signature", name)
		}
	}
}

func TestStandardKeyOfASecret(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"whsec_c2VjcmV0": "secret", "plain": "plain", "whsec_": "whsec_", "whsec_not base64!": "whsec_not base64!", "": "",
	} {
		if got := string(webhook.StandardKey([]byte(secret))); got != want {
			t.Errorf("%q: %q, want %q", secret, got, want)
		}
	}
}
