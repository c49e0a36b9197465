package localcluster

// Cut says what happens between two processes, in whichever direction they
// dialled.
type Cut int

// The cuts.
const (
	// Whole is no cut.
	Whole Cut = iota
	// Broken ends connections and refuses new ones.
	Broken
	// Silent lets nothing through either way; nobody is told.
	Silent
	// Deaf lets nothing through to the first process.
	Deaf
	// Mute lets nothing through from the first process.
	Mute
)

// String names the cut.
func (c Cut) String() string {
	return [...]string{"whole", "broken", "silent", "deaf", "mute"}[c]
}

// Cut cuts every link between a process and another, both by name.
func (c *Cluster) Cut(first, second string, cut Cut) {
	for _, l := range c.Links {
		switch {
		case l.From == first && l.To == second:
			l.set(cut, cut == Mute, cut == Deaf)
		case l.From == second && l.To == first:
			l.set(cut, cut == Deaf, cut == Mute)
		}
	}
}

func (l *Link) set(cut Cut, forth, back bool) {
	switch cut {
	case Whole:
		l.Mend()
	case Broken:
		l.Break()
	default:
		l.Hold(cut == Silent || forth, cut == Silent || back)
	}
}
