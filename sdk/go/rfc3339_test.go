package gnomon

import (
	"testing"
	"time"
)

func TestParseTimeAcceptsRFC3339(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-01T10:00:00Z":                 "2026-03-01T10:00:00Z",
		"2026-03-01t10:00:00.5z":               "2026-03-01T10:00:00.5Z",
		"2026-03-01 10:00:00+05:30":            "2026-03-01T04:30:00Z",
		"2024-02-29T23:59:59.123456789-00:01":  "2024-03-01T00:00:59.123456789Z",
		"2026-01-01T00:00:00.9999999999+14:00": "2025-12-31T10:00:00.999999999Z",
		"2016-12-31T23:59:60Z":                 "2017-01-01T00:00:00Z",
		"1969-12-31T23:59:59.999Z":             "1969-12-31T23:59:59.999Z",
		"0000-01-01T00:00:00Z":                 "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59Z":                 "9999-12-31T23:59:59Z",
		"2000-02-29T12:00:00Z":                 "2000-02-29T12:00:00Z",
	} {
		got, ok := parseTime([]byte(text))
		if s := got.Format(time.RFC3339Nano); !ok || s != want {
			t.Errorf("%s is %s, %v; want %s", text, s, ok, want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "2026", "2026-03-01", "2026-03-01T10:00:00", "2026-03-01T10:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-04-31T00:00:00Z", "2026-04-00T00:00:00Z", "2026-03-01T24:00:00Z",
		"2026-03-01T10:60:00Z", "2026-03-01T10:00:61Z", "2026-03-01T10:00:00.Z", "2026-03-01T10:00:00+0100", "2026-03-01T10:00:00+24:00",
		"2026-03-01T10:00:00Zz", "x026-03-01T10:00:00Z", "20x6-03-01T10:00:00Z", "2026-03-01T10:00:00,5Z", "2026-03-01T1x:00:00Z", "+2026-3-01T10:00:00Z",
	} {
		if got, ok := parseTime([]byte(text)); ok {
			t.Errorf("%q is %s, want it refused", text, got)
		}
	}
}

// What package time reads as RFC 3339, strictly, is read as the same moment.
func FuzzParseTime(f *testing.F) {
	f.Add("2026-03-01T10:00:00.250+01:00")
	f.Add("1888-02-29T23:59:59-23:59")
	f.Fuzz(func(t *testing.T, text string) {
		var want time.Time
		if err := want.UnmarshalText([]byte(text)); err != nil {
			return
		}
		if got, ok := parseTime([]byte(text)); !ok || !got.Equal(want) {
			t.Errorf("%q is %s, %v; want %s", text, got, ok, want)
		}
	})
}

func TestEveryDay(t *testing.T) {
	for d := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2500; d = d.AddDate(0, 0, 1) {
		text := d.Format(time.RFC3339)
		if got, ok := parseTime([]byte(text)); !ok || !got.Equal(d) {
			t.Fatalf("%s is %s, %v", text, got, ok)
		}
	}
}
