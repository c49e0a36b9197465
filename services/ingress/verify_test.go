package ingress

import (
	"errors"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

func TestVerifierFollowsTheSecrets(t *testing.T) {
	t.Parallel()
	body, v := []byte("{}"), &verifier{}
	for _, step := range []struct {
		secrets []string
		signed  string
		want    error
	}{
		{[]string{"a"}, "a", nil},
		{[]string{"a"}, "b", webhook.ErrSignature},
		{[]string{"b", "a"}, "a", nil},
		{[]string{"b", "a"}, "b", nil},
		{[]string{"b"}, "a", webhook.ErrSignature},
		{[]string{"c"}, "b", webhook.ErrSignature},
		{[]string{"c"}, "c", nil},
		{nil, "c", webhook.ErrSignature},
		{[]string{""}, "", webhook.ErrSignature},
	} {
		secrets := make([][]byte, len(step.secrets))
		for i, s := range step.secrets {
			secrets[i] = []byte(s)
		}
		header := webhook.Sign256([]byte(step.signed), body)
		if err := v.verify(secrets, body, header, ""); !errors.Is(err, step.want) {
			t.Errorf("signed with %q, valid %q: %v, want %v", step.signed, step.secrets, err, step.want)
		}
	}
}
