package main

import "strings"

// licence is one that the project takes, and the sentences of its text that no other of them has
// all of. Names are SPDX's.
type licence struct {
	name      string
	sentences []string
}

// taken are compatible with Apache-2.0, and ask for no more than their text. The order matters:
// BSD-3-Clause is BSD-2-Clause and a sentence more.
var taken = []licence{
	{"Apache-2.0", []string{"apache license version 2.0, january 2004", "grant of patent license"}},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice shall be included in all copies"}},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice (including the next paragraph) shall be included"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms, with or without modification, are permitted", "may be used to endorse or promote products derived from this software"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms, with or without modification, are permitted", "redistributions in binary form must reproduce the above copyright notice"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted", "and this permission notice appear in all copies"}},
	{"0BSD", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"}},
}

// refused are words that no licence has which the project takes: a text with one of them is
// looked at by a person, whatever else it says.
var refused = []string{"gnu general public license", "gnu lesser general public license", "gnu affero", "mozilla public license", "server side public license", "business source license", "commons clause", "eclipse public license"}

// classify names the licence that a text is; "" if it is none that is taken.
func classify(text string) string {
	text = strings.ReplaceAll(text, ">", " ") // some quote it, as mail does
	words := strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, w := range refused {
		if strings.Contains(words, w) {
			return ""
		}
	}
	for _, l := range taken {
		if l.in(words) {
			return l.name
		}
	}
	return ""
}

func (l licence) in(words string) bool {
	for _, s := range l.sentences {
		if !strings.Contains(words, s) {
			return false
		}
	}
	return true
}
