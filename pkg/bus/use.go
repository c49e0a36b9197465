package bus

import "context"

// StreamUse is how full a stream is.
type StreamUse struct {
	// Name of the stream.
	Name string
	// Bytes it holds, and the limit of that; a limit of 0 means none.
	Bytes, Limit uint64
	// First and Last sequence; of an empty stream, First is Last + 1.
	First, Last uint64
	// Messages it holds.
	Messages uint64
}

// StreamUse returns the use of every stream of Baton, for metrics and alarms.
func (c *Conn) StreamUse(ctx context.Context) ([]StreamUse, error) {
	names := streamNames()
	uses := make([]StreamUse, 0, len(names))
	for _, name := range names {
		use, err := c.streamUse(ctx, name)
		if err != nil {
			return nil, err
		}
		uses = append(uses, use)
	}
	return uses, nil
}

func (c *Conn) streamUse(ctx context.Context, name string) (StreamUse, error) {
	var info struct {
		Config struct {
			MaxBytes int64 `json:"max_bytes"`
		} `json:"config"`
		State struct {
			Messages uint64 `json:"messages"`
			Bytes    uint64 `json:"bytes"`
			First    uint64 `json:"first_seq"`
			Last     uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := c.call(ctx, "STREAM.INFO."+name, struct{}{}, &info); err != nil {
		return StreamUse{}, err
	}
	s := info.State
	return StreamUse{
		Name: name, Bytes: s.Bytes, Limit: uint64(max(info.Config.MaxBytes, 0)),
		First: s.First, Last: s.Last, Messages: s.Messages,
	}, nil
}

// heldOn counts the messages of a stream by subject, of those that are a prefix and
// one token.
func (c *Conn) heldOn(ctx context.Context, stream, prefix string) (map[string]uint64, error) {
	var info struct {
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	filter := map[string]string{"subjects_filter": prefix + "*"}
	err := c.call(ctx, "STREAM.INFO."+stream, filter, &info)
	return info.State.Subjects, err
}
