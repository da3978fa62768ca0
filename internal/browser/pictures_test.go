package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// most is how large a picture of the documentation may be, and the moving one.
const (
	most       = 150 << 10
	mostMoving = 3 << 19
)

// Makes the pictures of the documentation, in the folder that GNOMON_SCREENSHOTS names: see
// make screenshots.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("GNOMON_SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots runs it")
	}
	s := serve(t, shop(t), "")
	pays(s)
	s.awaitLive("count", "repo-files", "balances")
	p := s.visit()
	for _, shot := range []struct{ name, scheme, path, says string }{
		{"overview", "light", "/", "repo-files"},
		{"overview-dark", "dark", "/", "repo-files"},
		{"explain", "light", "/ui/projections/repo-files/explain?key=file%09server%2Fraft.go&limit=5", "changed"},
		{"stream", "light", "/ui/streams/GITLOG?around=12000", "12 000"},
		{"generations", "light", "/ui/projections/repo-files/generations", "History"},
		{"dead-letters", "light", "/ui/projections/balances/dead-letters", "amount is missing"},
		{"time-slider", "light", "/ui/projections/repo-files/time?from=12000&to=12040&prefix=file", "What changed"},
	} {
		p.on(1200, 760, shot.scheme).open(shot.path).sees(shot.says)
		write(t, filepath.Join(folder, shot.name+".png"), still(t, p.picture()), most)
	}
	write(t, filepath.Join(folder, "time-slider.gif"), sliding(t, p), mostMoving)
}

func write(t *testing.T, name string, b []byte, most int) {
	t.Helper()
	if len(b) > most {
		t.Errorf("%s has %d bytes, more than %d", name, len(b), most)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// still is a picture with 256 colours.
func still(t *testing.T, picture []byte) []byte {
	t.Helper()
	m := decoded(t, picture)
	of := image.NewPaletted(m.Bounds(), colours(m))
	draw.Draw(of, m.Bounds(), m, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, of); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sliding is the moving picture of going back in time, with the keys of the slider.
func sliding(t *testing.T, p *person) []byte {
	t.Helper()
	p.on(900, 620, "light").open("/ui/projections/repo-files/time?to=19547&prefix=file").sees("as of 19 547")
	frames := []*image.RGBA{decoded(t, p.picture())}
	p.focuses("slider", "To: a sequence")
	for range 14 {
		before := p.text()
		p.presses(kb.PageDown).until("the page follows", func() bool { return p.text() != before })
		frames = append(frames, decoded(t, p.picture()))
	}
	return moving(t, frames)
}

func decoded(t *testing.T, picture []byte) *image.RGBA {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	of := image.NewRGBA(m.Bounds())
	draw.Draw(of, m.Bounds(), m, image.Point{}, draw.Src)
	return of
}

// moving is a picture of frames, each of which has what differs from the one before.
func moving(t *testing.T, frames []*image.RGBA) []byte {
	t.Helper()
	palette := colours(frames...)
	g := &gif.GIF{}
	for i, f := range frames {
		part := f.Bounds()
		if i > 0 {
			part = differs(frames[i-1], f)
		}
		of := image.NewPaletted(part, palette)
		draw.Draw(of, part, f, part.Min, draw.Src)
		g.Image, g.Delay, g.Disposal = append(g.Image, of), append(g.Delay, 45), append(g.Disposal, gif.DisposalNone)
	}
	g.Delay[0], g.Delay[len(frames)-1] = 120, 200
	var out bytes.Buffer
	if err := gif.EncodeAll(&out, g); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// differs is the rectangle in which two pictures differ: one point, when they do not.
func differs(a, b *image.RGBA) image.Rectangle {
	part := image.Rectangle{}
	for y := range b.Bounds().Dy() {
		for x := range b.Bounds().Dx() {
			if a.RGBAAt(x, y) != b.RGBAAt(x, y) {
				part = part.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if part.Empty() {
		return image.Rect(0, 0, 1, 1)
	}
	return part
}

// colours are the 256 that pictures have most of.
func colours(of ...*image.RGBA) (palette color.Palette) {
	count := map[color.RGBA]int{}
	for _, m := range of {
		for i := 0; i < len(m.Pix); i += 4 {
			count[color.RGBA{m.Pix[i] &^ 3, m.Pix[i+1] &^ 3, m.Pix[i+2] &^ 3, 255}]++
		}
	}
	all := make([]color.RGBA, 0, len(count))
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	for _, c := range all[:min(len(all), 256)] {
		palette = append(palette, c)
	}
	return palette
}
