package bus

import (
	"crypto/rand"
	"time"
)

// LogRecords returns the records that a message of the log, as CopyStream gives it,
// holds, and of a bundle the last sequence of each partition before it; nil for a
// message of one record. They alias the message. The error is ErrDamaged.
func LogRecords(m StoredMessage) (records []Message, lasts []uint64, err error) {
	if m.Subject != subjectLog+bundled {
		return []Message{{Sequence: m.Sequence, Partition: partitionOf(m.Subject), Data: m.Data, At: m.At}}, nil, nil
	}
	b, err := parseBundle(m.Data, m.Sequence)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range b.parts {
		records = append(records, Message{Sequence: m.Sequence, Partition: p.partition, Data: p.data, At: m.At})
	}
	return records, b.lasts, nil
}

// LogMessage makes the message of the log that stood at a sequence and held some
// records: a bundle, or with nil for lasts the one record's own. It is the inverse
// of LogRecords.
func LogMessage(sequence uint64, stored time.Time, records []Message, lasts []uint64) StoredMessage {
	m := StoredMessage{Sequence: sequence, At: stored}
	if lasts == nil {
		m.Subject, m.Data = at(subjectLog, records[0].Partition), records[0].Data
		return m
	}
	m.Subject = subjectLog + bundled
	m.Data = beginBundle(nil)
	for _, r := range records {
		m.Data = appendPart(m.Data, r.Partition, r.Data)
	}
	var id [idSize]byte
	_, _ = rand.Read(id[:]) // never fails
	m.Data = sealBundle(m.Data, sequence-1, lasts, id)
	return m
}
