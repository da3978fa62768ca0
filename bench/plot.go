package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// panel is a diagram with logarithmic axes; panels of a plot share the scale of y.
type panel struct {
	label string // of x
	lines []line
}

type line struct {
	name   string
	points []point // from left to right, both coordinates positive
}

type point struct{ x, y float64 }

// Sizes of a plot, in pixels.
const (
	panelWidth, panelHeight = 300.0, 260.0
	leftMargin, topMargin   = 64.0, 44.0
	panelGap, bottomMargin  = 28.0, 52.0
)

var lineColors = []string{"#0b62a8", "#c2571a", "#3a7d34", "#7a3b8f"}

// axis maps values on a logarithmic scale to pixels.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	if a.high == a.low {
		return (a.from + a.to) / 2
	}
	return a.from + (a.to-a.from)*(math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))
}

// niceDown and niceUp round to 1, 2 or 5 times a power of ten.
func niceDown(v float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if m*ten <= v {
			return m * ten
		}
	}
	return ten
}

func niceUp(v float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*ten >= v {
			return m * ten
		}
	}
	return 10 * ten
}

// bounds of a coordinate over all lines.
func bounds(lines []line, of func(p point) float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, l := range lines {
		for _, p := range l.points {
			low, high = min(low, of(p)), max(high, of(p))
		}
	}
	return low, high
}

// drawPlot draws panels side by side as an SVG image, without any library.
func drawPlot(title, yLabel string, panels []panel) []byte {
	width := leftMargin + float64(len(panels))*(panelWidth+panelGap)
	height := topMargin + panelHeight + bottomMargin
	var all []line
	for _, p := range panels {
		all = append(all, p.lines...)
	}
	low, high := bounds(all, func(p point) float64 { return p.y })
	y := axis{niceDown(low), niceUp(high), topMargin + panelHeight, topMargin}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", escaped(title))
	drawText(&b, leftMargin, 20, "start", title+": "+yLabel)
	colors := drawLegend(&b, all)
	for i, p := range panels {
		left := leftMargin + float64(i)*(panelWidth+panelGap)
		drawPanel(&b, p, left, y, i == 0, colors)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// drawLegend gives each name a color, above the panels where no line runs through it.
func drawLegend(b *bytes.Buffer, all []line) map[string]string {
	colors := map[string]string{}
	for _, l := range all {
		if colors[l.name] != "" {
			continue
		}
		x := leftMargin + panelWidth + panelGap + 180*float64(len(colors))
		colors[l.name] = lineColors[len(colors)%len(lineColors)]
		fmt.Fprintf(b, `<path d="M%.1f 16h18" stroke="%s" stroke-width="2"/>`+"\n", x, colors[l.name])
		drawText(b, x+24, 20, "start", l.name)
	}
	return colors
}

func drawPanel(b *bytes.Buffer, p panel, left float64, y axis, labels bool, colors map[string]string) {
	low, high := bounds(p.lines, func(p point) float64 { return p.x })
	const inset = 10
	x := axis{low, high, left + inset, left + panelWidth - inset}
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="#888"/>`+"\n", left, topMargin, panelWidth, panelHeight)
	for _, v := range ticks(y.low, y.high) {
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%.1f" stroke="#ddd"/>`+"\n", left, y.at(v), panelWidth)
		if labels {
			drawText(b, left-6, y.at(v)+4, "end", grouped(int(v)))
		}
	}
	// The points of all lines are at the same places: each is a tick.
	for _, at := range p.lines[0].points {
		fmt.Fprintf(b, `<path d="M%.1f %.1fv%.1f" stroke="#ddd"/>`+"\n", x.at(at.x), topMargin, panelHeight)
		drawText(b, x.at(at.x), topMargin+panelHeight+18, "middle", tickLabel(at.x))
	}
	drawText(b, left+panelWidth/2, topMargin+panelHeight+40, "middle", p.label)
	for _, l := range p.lines {
		drawLine(b, l, x, y, colors[l.name])
	}
}

func drawLine(b *bytes.Buffer, l line, x, y axis, color string) {
	var at []string
	for _, p := range l.points {
		at = append(at, fmt.Sprintf("%.1f,%.1f", x.at(p.x), y.at(p.y)))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(p.x), y.at(p.y), color)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(at, " "), color)
}

func drawText(b *bytes.Buffer, x, y float64, anchor, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, escaped(text))
}

func escaped(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
	return b.String()
}

// ticks are 1, 2 and 5 times the powers of ten in a range.
func ticks(low, high float64) (all []float64) {
	for v := niceDown(low); v <= high*1.0001; v = niceUp(v * 1.0001) {
		all = append(all, v)
	}
	return all
}

// tickLabel writes powers of ten from 10⁴ on as such.
func tickLabel(v float64) string {
	if e := math.Round(math.Log10(v)); v >= 10_000 && math.Pow(10, e) == v {
		return "10" + string([]rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[int(e)])
	}
	return grouped(int(v))
}
