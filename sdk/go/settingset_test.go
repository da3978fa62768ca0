package gnomon_test

import (
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
)

// limits is what the settings of the tests below are read into.
type limits struct {
	most  int64
	name  string
	open  bool
	share float64
}

func readLimits(t *testing.T, settings string) (got limits, err error) {
	t.Helper()
	got = limits{most: 7, name: "none", share: 0.5}
	_, err = run(t, func(gnomon.Event, gnomon.State) error {
		var s gnomon.SettingSet
		s.Int("most", &got.most)
		s.String("name", &got.name)
		s.Bool("open", &got.open)
		s.Float("share", &got.share)
		return s.Read()
	}, gnomontest.Options{Settings: settings}, subjects("a")...)
	return got, err
}

// Settings are read by their names; what is not set keeps its default.
func TestSettingSet(t *testing.T) {
	for settings, want := range map[string]limits{
		`{}`:                               {7, "none", false, 0.5},
		`{"name":"a\tb","most":-12}`:       {-12, "a\tb", false, 0.5},
		` {"open":true, "share" : 2.5e-1}`: {7, "none", true, 0.25},
		`{"m\u006fst":3}`:                  {3, "none", false, 0.5},
	} {
		if got, err := readLimits(t, settings); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", settings, got, err, want)
		}
	}
}

// A setting that is not there, or of another type, is refused by name, with what is expected.
func TestSettingSetRefuses(t *testing.T) {
	for settings, want := range map[string]string{
		`{"most":1,"mots":2}`: `settings: unknown setting "mots"; there is most, name, open, share`,
		`{"most":"1"}`:        `settings: most is "1", not a whole number`,
		`{"most":1.5}`:        `settings: most is 1.5, not a whole number`,
		`{"name":1}`:          `settings: name is 1, not a string`,
		`{"open":"true"}`:     `settings: open is "true", not true or false`,
		`{"share":"1"}`:       `settings: share is "1", not a number`,
		`{"name":null}`:       `settings: name is null, not a string`,
	} {
		if _, err := readLimits(t, settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", settings, err, want)
		}
	}
}
