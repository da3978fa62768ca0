package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gnomon/engine"
)

// Duration is a time span: "1s", "500ms", "2h30m", "30d".
type Duration time.Duration

// UnmarshalTOML reads a duration.
func (d *Duration) UnmarshalTOML(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a time span is a string such as \"30s\", \"10m\" or \"30d\", not %v", v)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no time span: use \"30s\", \"10m\", \"2h30m\" or \"30d\"", s)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	span, err := time.ParseDuration(s)
	if err != nil || span < 0 {
		return fmt.Errorf("%q is no time span: use \"30s\", \"10m\", \"2h30m\" or \"30d\"", s)
	}
	*d = Duration(span)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes: 1048576, "64MiB", "10MB".
type Size int64

// UnmarshalTOML reads a size.
func (s *Size) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		if v >= 0 {
			*s = Size(v)
			return nil
		}
	case string:
		if n, err := humanize.ParseBytes(v); err == nil && n <= math.MaxInt64 {
			*s = Size(n)
			return nil
		}
	}
	return fmt.Errorf("%v is no size: use a number of bytes, or a string such as \"64MiB\"", v)
}

func (s Size) String() string { return humanize.IBytes(uint64(s)) }

// UnmarshalTOML reads a start.
func (s *Start) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		if v >= 1 {
			s.Sequence = uint64(v)
			return nil
		}
	case time.Time:
		s.Time = v
		return nil
	case string:
		return s.parse(v)
	}
	return fmt.Errorf("%v is no start: use \"first\", \"new\", a sequence from 1, or a time such as \"2026-01-31T00:00:00Z\"", v)
}

func (s *Start) parse(text string) error {
	switch text {
	case "first":
		s.Start = engine.Start{}
		return nil
	case "new":
		s.New = true
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 47); err == nil && n > 0 {
		s.Sequence = n
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is no start: use \"first\", \"new\", a sequence from 1, or a time such as \"2026-01-31T00:00:00Z\"", text)
	}
	s.Time = t
	return nil
}

// UnmarshalTOML reads when a candidate takes over.
func (a *AutoPromote) UnmarshalTOML(v any) error {
	switch v {
	case true:
		a.PromotePolicy = engine.PromoteItself
	case false:
		a.PromotePolicy = engine.PromoteByHand
	case "equal":
		a.PromotePolicy = engine.PromoteWhenEqual
	default:
		return fmt.Errorf("auto_promote is true, false or \"equal\", not %v", v)
	}
	return nil
}

// UnmarshalTOML reads how much history is kept.
func (k *Keep) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		if v >= 0 {
			*k = Keep{Events: uint64(v)}
			return nil
		}
	case string:
		return k.parse(v)
	}
	return k.refuse(v)
}

func (k *Keep) parse(text string) error {
	switch text {
	case "all":
		*k = Keep{All: true}
		return nil
	case "none":
		*k = Keep{}
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 47); err == nil {
		*k = Keep{Events: n}
		return nil
	}
	var age Duration
	if age.UnmarshalTOML(text) != nil {
		return k.refuse(text)
	}
	*k = Keep{Age: age}
	return nil
}

func (k *Keep) refuse(v any) error {
	return fmt.Errorf("%v is no history to keep: use \"none\", \"all\", a time span such as \"30d\", or a number of events such as 10000", v)
}
