package webhook

import "testing"

func TestSignerSignsAsSignDoes(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"s3cr3t", "", string(make([]byte, 200))} {
		s := NewSigner([]byte(secret))
		for _, body := range []string{"", "{}", `{"object":"page"}`, "{}"} {
			h1, h256 := s.Sign1([]byte(body)), s.Sign256([]byte(body))
			if w := Sign1([]byte(secret), []byte(body)); h1 != w {
				t.Errorf("secret of %d bytes, body %q: %s, want %s", len(secret), body, h1, w)
			}
			if w := Sign256([]byte(secret), []byte(body)); h256 != w {
				t.Errorf("secret of %d bytes, body %q: %s, want %s", len(secret), body, h256, w)
			}
		}
	}
}
