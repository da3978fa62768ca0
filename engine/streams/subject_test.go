package streams

import "testing"

func TestMatchSubject(t *testing.T) {
	tests := []struct {
		filter, subject string
		want            bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "a.b", false}, {"a.*", "a.b", true}, {"*.b", "a.b", true}, {"a.*.c", "a.b.c", true},
		{">", "a", true}, {">", "a.b.c", true}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {"a.>", "b.c", false},
		{"a.*", "a.", false}, {"a", "", false}, {">", "", false},
	}
	for _, tt := range tests {
		if got := MatchSubject(tt.filter, []byte(tt.subject)); got != tt.want {
			t.Errorf("MatchSubject(%q, %q) = %v", tt.filter, tt.subject, got)
		}
	}
}

func TestFiltersOverlap(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.*", "a.c", true}, {"a.>", "a", false},
		{"a.>", "a.b.c", true}, {"*.b", "a.*", true}, {"*.b", "a.c", false}, {"a.b", "a.b.c", false}, {">", "x", true},
	}
	for _, tt := range tests {
		if FiltersOverlap(tt.a, tt.b) != tt.want || FiltersOverlap(tt.b, tt.a) != tt.want {
			t.Errorf("FiltersOverlap(%q, %q) is not %v both ways", tt.a, tt.b, tt.want)
		}
	}
}

func TestCheckSubject(t *testing.T) {
	for _, s := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\n"} {
		if CheckSubject(s) == nil {
			t.Errorf("subject %q was accepted", s)
		}
	}
	for _, s := range []string{"", "a..b", "a.>.b", "a\tb"} {
		if CheckFilter(s) == nil {
			t.Errorf("filter %q was accepted", s)
		}
	}
	for _, s := range []string{"a", "a.b", "a.*.c", "a.>", "*", ">", "a*b"} {
		if err := CheckFilter(s); err != nil {
			t.Error(err)
		}
	}
}

// Matching never panics, and agrees with overlapping where the filter has no
// wildcards.
func FuzzMatchSubject(f *testing.F) {
	f.Add("a.*.>", "a.b.c")
	f.Fuzz(func(t *testing.T, filter, subject string) {
		match := MatchSubject(filter, []byte(subject))
		if CheckFilter(filter) == nil && CheckSubject(subject) == nil && match != FiltersOverlap(filter, subject) {
			t.Errorf("filter %q, subject %q: match %v", filter, subject, match)
		}
	})
}
