package report

// Target is what a figure, or the ratio of two figures of the same round, must
// reach. A missed target fails no run: it says where to work.
type Target struct {
	Text string
	// Of is a figure's name; with Over, the ratio of both counts.
	Of, Over string
	// AtLeast or AtMost, the other is 0.
	AtLeast, AtMost float64
}

// Verdict is a target and what was measured.
type Verdict struct {
	Text     string  `json:"text"`
	Of       string  `json:"of"`
	Unit     Unit    `json:"unit"`
	Wanted   string  `json:"wanted"`
	Measured bool    `json:"measured"`
	Median   float64 `json:"median"`
	Least    float64 `json:"least"`
	Most     float64 `json:"most"`
	Reached  bool    `json:"reached"`
}

// Judge compares the figures with the targets; by their medians.
func (r *Report) Judge(targets []Target) {
	r.Targets = nil
	for _, t := range targets {
		r.Targets = append(r.Targets, r.judge(t))
	}
}

func (r *Report) judge(t Target) Verdict {
	f := r.Figure(t.Of)
	v := Verdict{Text: t.Text, Of: t.Of}
	if t.Over != "" {
		f, v.Of, v.Unit = r.ratio(t.Of, t.Over), t.Of+" : "+t.Over, Times
	}
	if f != nil {
		v.Unit, v.Measured, v.Median = f.Unit, true, f.Median()
		v.Least, v.Most = f.Spread()
	}
	if t.AtLeast > 0 {
		v.Wanted, v.Reached = "at least "+quantity(t.AtLeast, v.Unit), v.Measured && v.Median >= t.AtLeast
	} else {
		v.Wanted, v.Reached = "at most "+quantity(t.AtMost, v.Unit), v.Measured && v.Median <= t.AtMost
	}
	return v
}
