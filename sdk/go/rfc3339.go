package gnomon

import "time"

// parseTime reads an RFC 3339 time, in UTC. Digits beyond nanoseconds are cut off.
// A leap second is the second after it. In a module it is several times faster
// than time.Parse, which also allocates a zone.
func parseTime(b []byte) (t time.Time, ok bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(b) <= seconds || b[4] != '-' || b[7] != '-' || b[13] != ':' || b[16] != ':' {
		return t, false
	}
	if c := b[10]; c != 'T' && c != 't' && c != ' ' {
		return t, false
	}
	year := two(b)*100 + two(b[2:])
	month, day := two(b[5:]), two(b[8:])
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return t, false
	}
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return t, false
	}
	nanos, rest := parseFraction(b[seconds:])
	offset, ok := parseOffset(rest)
	if !ok {
		return t, false
	}
	unix := days(year, month, day)*86_400 + int64(hour*3600+minute*60+second-offset)
	return time.Unix(unix, nanos).UTC(), true
}

// two is the number that two digits say. It is so negative that no sum becomes
// positive when they are not digits.
func two(b []byte) int {
	tens, ones := b[0]-'0', b[1]-'0'
	if tens > 9 || ones > 9 {
		return -1_000_000
	}
	return int(tens)*10 + int(ones)
}

// parseFraction takes a fraction of a second, if there is one. What it leaves is no
// zone when the fraction has no digit.
func parseFraction(b []byte) (nanos int64, rest []byte) {
	if b[0] != '.' {
		return 0, b
	}
	unit := int64(100_000_000)
	i := 1
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		nanos += int64(b[i]-'0') * unit
		unit /= 10
	}
	if i == 1 {
		return 0, nil
	}
	return nanos, b[i:]
}

// parseOffset reads a zone as seconds east of UTC.
func parseOffset(b []byte) (seconds int, ok bool) {
	if len(b) == 1 {
		return 0, b[0] == 'Z' || b[0] == 'z'
	}
	if len(b) != len("+07:00") || b[3] != ':' || (b[0] != '+' && b[0] != '-') {
		return 0, false
	}
	hours, minutes := two(b[1:]), two(b[4:])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	seconds = (hours*60 + minutes) * 60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days counts the days from 1970-01-01 to a date of the Gregorian calendar. Years
// begin in March here, so that the leap day is a year's last.
func days(year, month, day int) int64 {
	if month < 3 {
		year--
		month += 12
	}
	if year < 0 { // January and February of the year 0
		return days(year+400, month, day) - 146_097
	}
	return int64(365*year+year/4-year/100+year/400) + int64((153*(month-3)+2)/5+day-1) - 719_468
}
