package ingress

import (
	"bytes"
	"sync"

	"github.com/baton-router/baton/pkg/webhook"
)

// verifier checks signatures with the secrets of the moment. Their own part of
// the work is done when they change.
type verifier struct {
	secrets [][]byte
	signers []*webhook.Signer
}

//nolint:gochecknoglobals // free verifiers
var verifiers = sync.Pool{New: func() any { return &verifier{} }}

// verify accepts a signature by any of the secrets.
func (v *verifier) verify(secrets [][]byte, body []byte, header256, header1 string) error {
	err := webhook.ErrSignature
	for i, secret := range secrets {
		if err = v.signer(i, secret).Verify(body, header256, header1); err == nil {
			return nil
		}
	}
	return err
}

// signer is the one of the secret in a place.
func (v *verifier) signer(i int, secret []byte) *webhook.Signer {
	if i == len(v.secrets) {
		v.secrets, v.signers = append(v.secrets, nil), append(v.signers, nil)
	}
	if v.signers[i] == nil || !bytes.Equal(v.secrets[i], secret) {
		v.secrets[i], v.signers[i] = bytes.Clone(secret), webhook.NewSigner(secret)
	}
	return v.signers[i]
}
