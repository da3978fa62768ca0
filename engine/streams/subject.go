package streams

import (
	"fmt"
	"strings"
)

// CheckSubject reports what is wrong with a subject to publish to: it has no
// wildcards.
func CheckSubject(subject string) error { return checkTokens(subject, false) }

// CheckFilter reports what is wrong with a filter of subjects, in which * stands
// for one token and a final > for one or more.
func CheckFilter(filter string) error { return checkTokens(filter, true) }

func checkTokens(subject string, wildcards bool) error {
	if subject == "" {
		return fmt.Errorf("subject is empty")
	}
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		switch {
		case token == "":
			return fmt.Errorf("subject %q has an empty token: dots separate tokens", subject)
		case token == ">" && wildcards && i < len(tokens)-1:
			return fmt.Errorf("subject %q has > before its end", subject)
		case (token == "*" || token == ">") && !wildcards:
			return fmt.Errorf("subject %q has a wildcard", subject)
		case strings.ContainsAny(token, " \t\r\n\x00"):
			return fmt.Errorf("subject %q has white space", subject)
		}
	}
	return nil
}

// MatchSubject reports whether a filter matches a subject. It does not allocate.
func MatchSubject(filter string, subject []byte) bool {
	for {
		want, filterRest, filterMore := strings.Cut(filter, ".")
		end := 0
		for end < len(subject) && subject[end] != '.' {
			end++
		}
		if want == ">" {
			return len(subject) > 0
		}
		if want != "*" && want != string(subject[:end]) || end == 0 {
			return false
		}
		if more := end < len(subject); more != filterMore {
			return false
		} else if !more {
			return true
		}
		filter, subject = filterRest, subject[end+1:]
	}
}

// FiltersOverlap reports whether some subject matches both filters.
func FiltersOverlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
}
