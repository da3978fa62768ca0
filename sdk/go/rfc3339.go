package gnomon

import "time"

// parseTime reads an RFC 3339 time without allocating, in UTC. Digits beyond
// nanoseconds are cut off. A leap second is the second after it.
func parseTime(b []byte) (t time.Time, ok bool) {
	p := timeParser{b: b, ok: true}
	year := p.number(4)
	p.one("-")
	month := p.number(2)
	p.one("-")
	day := p.number(2)
	p.one("Tt ")
	hour := p.number(2)
	p.one(":")
	minute := p.number(2)
	p.one(":")
	second := p.number(2)
	nanos := p.fraction()
	offset := p.offset()
	if !p.ok || len(p.b) > 0 || hour > 23 || minute > 59 || second > 60 {
		return t, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second-offset, nanos, time.UTC)
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	// A day that does not exist comes out as another one.
	return t, midnight.Day() == day && midnight.Month() == time.Month(month)
}

type timeParser struct {
	b  []byte // what is left
	ok bool
}

// number takes n digits.
func (p *timeParser) number(n int) int {
	if len(p.b) < n {
		p.ok = false
		return 0
	}
	v := 0
	for _, c := range p.b[:n] {
		if c < '0' || c > '9' {
			p.ok = false
		}
		v = v*10 + int(c-'0')
	}
	p.b = p.b[n:]
	return v
}

// one takes one byte out of a set, and returns it.
func (p *timeParser) one(set string) byte {
	if len(p.b) > 0 {
		for i := range len(set) {
			if c := p.b[0]; c == set[i] {
				p.b = p.b[1:]
				return c
			}
		}
	}
	p.ok = false
	return 0
}

// fraction takes a fraction of a second, if there is one, in nanoseconds.
func (p *timeParser) fraction() int {
	if len(p.b) == 0 || p.b[0] != '.' {
		return 0
	}
	p.b = p.b[1:]
	v, digits := 0, 0
	for ; len(p.b) > 0 && p.b[0] >= '0' && p.b[0] <= '9'; p.b = p.b[1:] {
		if digits < 9 {
			v = v*10 + int(p.b[0]-'0')
		}
		digits++
	}
	p.ok = p.ok && digits > 0
	for ; digits < 9; digits++ {
		v *= 10
	}
	return v
}

// offset takes the zone, as seconds east of UTC.
func (p *timeParser) offset() int {
	sign := p.one("Zz+-")
	if sign != '+' && sign != '-' {
		return 0
	}
	hours := p.number(2)
	p.one(":")
	minutes := p.number(2)
	if hours > 23 || minutes > 59 {
		p.ok = false
	}
	if sign == '-' {
		return -(hours*60 + minutes) * 60
	}
	return (hours*60 + minutes) * 60
}
