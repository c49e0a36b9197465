package eventlogtest

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/eventlog"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// Newer is a record as a build of the next version would write it that no older
// one may read: the same record, with the next version byte, the next version as
// its oldest reader, and its own hash.
func Newer(r *eventlog.Record) []byte {
	raw := eventlog.Encode(r)
	var m logv1.GroupRecord
	err := proto.Unmarshal(raw[1:len(raw)-eventlog.HashSize], &m)
	if err == nil {
		m.MinReader = eventlog.Version + 1
		raw, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{eventlog.Version + 1}, &m)
	}
	if err != nil {
		panic(fmt.Sprintf("eventlogtest: a newer record: %v", err)) //nolint:forbidigo // a test to be corrected
	}
	hash := sha256.Sum256(raw)
	return append(raw, hash[:]...)
}
