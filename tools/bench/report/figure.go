package report

import (
	"slices"
	"time"
)

// Unit of a figure.
type Unit string

// The units.
const (
	PerSecond Unit = "/s"
	Millis    Unit = "ms"
	Micros    Unit = "us"
	Bytes     Unit = "B"
	MiB       Unit = "MiB"
	Count     Unit = ""
	Times     Unit = "x"
	Percent   Unit = "%"
	Seconds   Unit = "s"
)

// Figure is one thing measured. Name is a path: part/what/of what.
type Figure struct {
	Name string `json:"name"`
	Unit Unit   `json:"unit"`
	// Rounds has the value of each round that measured it, by its number.
	Rounds map[int]float64 `json:"rounds"`
}

// Median is the middle value, of two the mean.
func (f *Figure) Median() float64 {
	v := f.sorted()
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Spread is the least and the greatest value.
func (f *Figure) Spread() (least, most float64) {
	v := f.sorted()
	if len(v) == 0 {
		return 0, 0
	}
	return v[0], v[len(v)-1]
}

func (f *Figure) sorted() []float64 {
	v := make([]float64, 0, len(f.Rounds))
	for _, x := range f.Rounds {
		v = append(v, x)
	}
	slices.Sort(v)
	return v
}

// Report is what a run found.
type Report struct {
	Began   time.Time `json:"began"`
	Took    string    `json:"took"`
	Machine Machine   `json:"machine"`
	Version string    `json:"version"`
	Flags   []string  `json:"flags"`
	Figures []*Figure `json:"figures"`
	// Skipped says what was left out and why.
	Skipped []string  `json:"skipped,omitempty"`
	Targets []Verdict `json:"targets,omitempty"`
	// Fault is why the run failed: something was lost, doubled, out of order,
	// or did not work at all. Empty for a good run.
	Fault string `json:"fault,omitempty"`
}

// Machine is what the figures depend on.
type Machine struct {
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	System string `json:"system"`
	Go     string `json:"go"`
	Model  string `json:"model"`
}

// Add notes the value of a figure in a round. A second value of the round
// replaces the first.
func (r *Report) Add(round int, name string, unit Unit, value float64) {
	f := r.Figure(name)
	if f == nil {
		f = &Figure{Name: name, Unit: unit, Rounds: map[int]float64{}}
		r.Figures = append(r.Figures, f)
	}
	f.Rounds[round] = value
}

// Figure is the figure with that name, nil when nothing measured it.
func (r *Report) Figure(name string) *Figure {
	for _, f := range r.Figures {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Skip notes once that something was left out.
func (r *Report) Skip(why string) {
	if !slices.Contains(r.Skipped, why) {
		r.Skipped = append(r.Skipped, why)
	}
}

// ratio is the figure a over the figure b, round by round; nil without common
// rounds.
func (r *Report) ratio(a, b string) *Figure {
	over, under := r.Figure(a), r.Figure(b)
	if over == nil || under == nil {
		return nil
	}
	f := &Figure{Name: a + " : " + b, Unit: Times, Rounds: map[int]float64{}}
	for round, x := range over.Rounds {
		if y, ok := under.Rounds[round]; ok && y != 0 {
			f.Rounds[round] = x / y
		}
	}
	if len(f.Rounds) == 0 {
		return nil
	}
	return f
}
