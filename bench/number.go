package main

import (
	"slices"
	"strconv"
)

// grouped writes a number with commas.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a number with three digits that say something.
func short(f float64) string {
	switch {
	case f >= 100:
		return grouped(int(f + 0.5))
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// quantile is the value below which the part q of all lies; 0 when there is none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// steps are 1, or from, times the factor, up to most.
func steps(from, most, factor int) (all []int) {
	for n := min(from, most); n <= most; n *= factor {
		all = append(all, n)
	}
	return all
}
