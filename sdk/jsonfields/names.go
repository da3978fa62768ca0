package jsonfields

// Names returns the names of an object's own fields, in their order. Data that is not one
// valid JSON object is an error.
func Names(data []byte) (names []string, err error) {
	s := &scanner{data: data}
	if s.next() != '{' {
		return nil, s.errorf("a JSON object is expected")
	}
	s.pos++
	if s.next() == '}' {
		s.pos++
		return nil, s.end()
	}
	for more := true; more; {
		name, _, err := s.name()
		if err != nil {
			return nil, err
		}
		names = append(names, string(appendUnescaped(nil, name)))
		if _, err = s.value(); err != nil {
			return nil, err
		}
		if more, err = s.more('}'); err != nil {
			return nil, err
		}
	}
	return names, s.end()
}
