package telemetry

import "github.com/prometheus/client_golang/prometheus"

// registry makes instruments and remembers their names.
type registry struct {
	prom  *prometheus.Registry
	names []string
}

func (r *registry) add(name string, c prometheus.Collector) {
	r.prom.MustRegister(c)
	r.names = append(r.names, name)
}

func (r *registry) counter(name, help string) Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.add(name, c)
	return Counter{c}
}

func (r *registry) gauge(name, help string) Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	r.add(name, g)
	return Gauge{g}
}

func (r *registry) histogram(name, help string, buckets []float64) Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	r.add(name, h)
	return Histogram{h}
}

func (r *registry) counters(name, help string, labels ...string) CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.add(name, vec)
	return CounterVec{newChildren(len(labels),
		func(values []string) Counter { return Counter{vec.WithLabelValues(values...)} },
		func(values []string) { vec.DeleteLabelValues(values...) })}
}

func (r *registry) gauges(name, help string, labels ...string) GaugeVec {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	r.add(name, vec)
	return GaugeVec{newChildren(len(labels),
		func(values []string) Gauge { return Gauge{vec.WithLabelValues(values...)} },
		func(values []string) { vec.DeleteLabelValues(values...) })}
}

func (r *registry) histograms(name, help string, buckets []float64, labels ...string) HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	r.add(name, vec)
	return HistogramVec{newChildren(len(labels),
		func(values []string) Histogram { return Histogram{vec.WithLabelValues(values...)} },
		func(values []string) { vec.DeleteLabelValues(values...) })}
}
