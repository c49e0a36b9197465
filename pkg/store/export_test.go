package store

import "errors"

// Lapsing counts the rows of the tables whose rows lapse.
func (p *Partition) Lapsing() (dedupe, answers int, err error) {
	count := func(t table, n *int) error {
		prefix := p.key(t)
		return scan(p.db, prefix, after(prefix), func(_, _ []byte) (bool, error) {
			*n++
			return true, nil
		})
	}
	return dedupe, answers, errors.Join(count(tableDedupe, &dedupe), count(tableAnswers, &answers))
}

// FormatMajorVersion is the pinned one.
const FormatMajorVersion = formatMajorVersion

// OverwriteFormat pretends that a build of another layout wrote the store.
func (s *Store) OverwriteFormat(format uint32) error {
	return s.db.Set(key(ownPartition, tableMeta), []byte{byte(format >> 24), byte(format >> 16), byte(format >> 8), byte(format)}, nil)
}

// Compacting reports whether the engine works in the background.
func (s *Store) Compacting() bool {
	m := s.db.Metrics()
	return m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0
}
