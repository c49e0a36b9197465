package assignment

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrBeat is returned for a beat that cannot be read, or contradicts itself.
var ErrBeat = errors.New("assignment: not a beat")

// nothing is the partition of a node that asks for none.
const nothing = -1

// Beat is what a node says about itself and one of its roles.
type Beat struct {
	// Node is the node's name, the same after a restart.
	Node string `json:"node"`
	// Run is random, made anew at each start of the process.
	Run uint64 `json:"run"`
	// Number counts the beats of a run from 1 on.
	Number uint64 `json:"number"`
	// Held are the partitions that the node holds, with their epochs; 0 for one
	// that it is claiming.
	Held map[int]uint64 `json:"held,omitempty"`
	// Unable are those that another node should hold if there is one: it is not
	// up to date with them, or they are halted here.
	Unable []int `json:"unable,omitempty"`
	// Wants is the partition that the node asks its holder for; -1 for none.
	Wants int `json:"wants"`
	// Load is how much work waits at the node: commands, or deliveries. It is for
	// operators; the table does not depend on it.
	Load int `json:"load,omitempty"`
	// Leaving says that the node is about to stop.
	Leaving bool `json:"leaving,omitempty"`
}

func (b *Beat) encode() []byte {
	data, _ := json.Marshal(b) // numbers and a plain name: cannot fail
	return data
}

// parseBeat reads a beat. Fields that it does not know are a newer version's.
func parseBeat(data []byte, partitions int) (Beat, error) {
	b := Beat{Wants: nothing}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("%w: %w", ErrBeat, err)
	}
	if b.Node == "" || b.Number == 0 || b.Wants < nothing || b.Wants >= partitions {
		return b, fmt.Errorf("%w: node %q, number %d, wants %d of %d", ErrBeat, b.Node, b.Number, b.Wants, partitions)
	}
	for p := range b.Held {
		if p < 0 || p >= partitions {
			return b, fmt.Errorf("%w: node %q holds partition %d of %d", ErrBeat, b.Node, p, partitions)
		}
	}
	return b, nil
}
