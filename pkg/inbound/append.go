package inbound

import (
	"encoding/binary"
	"hash/crc32"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/baton-router/baton/pkg/webhook"
)

// The fields of Batch.
const (
	receivedField protowire.Number = 1
	eventsField   protowire.Number = 2
	sumField      protowire.Number = 3
)

// Append appends a Batch of one event to dst. The concatenation of Batches is the
// Batch of all their events. An empty trace is none.
func Append(dst []byte, e *webhook.Event, trace []byte) []byte {
	dst = protowire.AppendTag(dst, eventsField, protowire.BytesType)
	dst = append(dst, 0, 0) // nearly every event has 128 to 16,383 bytes
	start := len(dst)
	dst = appendEvent(dst, e, trace)
	size := len(dst) - start
	length := protowire.SizeVarint(uint64(size))
	if length != 2 {
		dst = append(dst, 0, 0, 0)
		copy(dst[start-2+length:], dst[start:start+size])
		dst = dst[:start-2+length+size]
	}
	binary.PutUvarint(dst[start-2:], uint64(size))
	return dst
}

// sumSize is the size of a Batch's checksum with its tag, in bytes.
const sumSize = 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table

// Seal appends the checksum of a Batch. Nothing may be appended after it.
func Seal(batch []byte) []byte {
	sum := crc32.Checksum(batch, castagnoli)
	return protowire.AppendFixed32(protowire.AppendTag(batch, sumField, protowire.Fixed32Type), sum)
}

// AppendReceived appends the time at which a Batch is published, in milliseconds
// since 1970.
func AppendReceived(dst []byte, at int64) []byte {
	return appendVarint(dst, receivedField, uint64(at))
}

func appendEvent(dst []byte, e *webhook.Event, trace []byte) []byte {
	dst = appendFixed(dst, 1, e.Asset)
	dst = appendFixed(dst, 2, e.Person)
	dst = appendVarint(dst, 3, uint64(e.Kind))
	dst = appendVarint(dst, 4, uint64(e.Object))
	dst = appendVarint(dst, 5, uint64(e.At))
	dst = appendVarint(dst, 6, uint64(e.EntryTime))
	dst = appendBytes(dst, 7, e.Dedupe[:])
	dst = appendBytes(dst, 8, e.Raw)
	dst = appendText(dst, 9, e.Mid)
	dst = appendFixed(dst, 10, e.PayloadHash)
	dst = appendText(dst, 11, e.Ref)
	dst = appendText(dst, 12, e.Ad)
	dst = appendVarint(dst, 13, protowire.EncodeBool(e.FromAd))
	dst = appendFixed(dst, 14, uint64(e.ReceivingApp))
	dst = appendVarint(dst, 15, protowire.EncodeBool(e.HasWindow))
	dst = appendVarint(dst, 16, uint64(int64(int32(e.ReceivingDays))))
	dst = appendFixed(dst, 17, uint64(e.EchoApp))
	dst = appendText(dst, 18, e.Metadata)
	if len(e.Questions) > 0 {
		dst = protowire.AppendTag(dst, 19, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(8*len(e.Questions)))
		for _, q := range e.Questions {
			dst = protowire.AppendFixed64(dst, q)
		}
	}
	dst = appendFixed(dst, 20, uint64(e.PreviousOwner))
	dst = appendFixed(dst, 21, uint64(e.NewOwner))
	return appendBytes(dst, 22, trace)
}

func appendVarint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func appendFixed(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

func appendBytes(dst []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), v)
}

// appendText appends text, which protobuf wants in UTF-8.
func appendText(dst []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), strings.ToValidUTF8(v, "\uFFFD"))
}
