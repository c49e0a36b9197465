package fanout

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(endpointEnv) != "" {
		serveEndpoint()
		return
	}
	goleak.VerifyTestMain(m)
}
