package dashboard

import "gnomon/engine/query/wire"

// RateCurve is the line that is drawn of the rates of samples.
func RateCurve(samples []wire.Sample) string {
	rate, _ := curvesOf(samples)
	return rate.Points
}
