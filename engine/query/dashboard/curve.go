package dashboard

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"gnomon/engine/query/wire"
)

// A curve is drawn in a box of these units, which the style sheet stretches.
const (
	curveWidth  = 120
	curveHeight = 28
	curveSpan   = 10 * time.Minute // that the width stands for
)

// curve is a number over the last minutes, as an SVG polyline.
type curve struct {
	Points    string
	Last, Max float64
}

// curves are the rate and the fuel per event of a projection over the last minutes.
func (d *Dashboard) curves(r *http.Request, projection string) (rate, fuel curve, err error) {
	s, err := d.ask.Samples(r.Context(), projection)
	if err != nil {
		return rate, fuel, err
	}
	rate, fuel = curvesOf(s.Samples)
	return rate, fuel, nil
}

func curvesOf(samples []wire.Sample) (rate, fuel curve) {
	return curveOf(samples, func(s wire.Sample) float64 { return s.Rate }), curveOf(samples, func(s wire.Sample) float64 { return float64(s.Fuel) })
}

// lagOf is how far a projection was behind in time, in seconds.
func lagOf(samples []wire.Sample) curve {
	return curveOf(samples, func(s wire.Sample) float64 { return float64(s.BehindMs) / 1000 })
}

// curveOf draws a value of samples. The newest is at the right edge.
func curveOf(samples []wire.Sample, of func(wire.Sample) float64) (c curve) {
	if len(samples) == 0 {
		return c
	}
	for _, s := range samples {
		c.Max = max(c.Max, of(s))
	}
	last := samples[len(samples)-1]
	c.Last = of(last)
	var b strings.Builder
	for _, s := range samples {
		x := curveWidth * (1 - last.Time.Sub(s.Time).Seconds()/curveSpan.Seconds())
		y := float64(curveHeight - 2)
		if c.Max > 0 {
			y -= of(s) / c.Max * (curveHeight - 4)
		}
		b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64) + " ")
	}
	c.Points = strings.TrimSuffix(b.String(), " ")
	return c
}
