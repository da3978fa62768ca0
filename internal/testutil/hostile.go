package testutil

import "strings"

// HostileJSON is JSON, and almost JSON, that readers like to differ about, most of it objects with
// the fields s and n. docs/AUTHORING.md, JSON, says what the SDKs of all languages make of it.
func HostileJSON() (all []string) {
	for _, depth := range []int{1, 2, 63, 64, 65, 99, 100, 101, 127, 128, 129, 511, 512, 513, 999, 1000, 1001, 2000, 9999, 10_000} {
		open, close := strings.Repeat("[", depth), strings.Repeat("]", depth)
		all = append(all, `{"s":"a","x":`+open+close+`,"n":1}`, `{"n":`+open+`1`+close+`,"s":"b"}`)
		all = append(all, strings.Repeat(`{"s":`, depth)+`"c"`+strings.Repeat("}", depth), `{"s":`+open+close[1:]+`}`)
	}
	for _, text := range []string{
		"\xff", "\x80", "\xc3", "\xc3(", "\xe2\x82", "\xe2\x82x", "\xf0\x9f\x98", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xed\xa0\xbd\xed\xb8\x80", "\xc0\x80", "\xc1\xbf",
		"\xe0\x80\x80", "\xf4\x90\x80\x80", "\xf5", "\xfe\xff", "é\xff\\n\xffé", "\\u00e9\xff", "\xff\\ud83d\xff", "\xef\xbf\xbe", "\xef\xbf\xbd",
		`\ud800`, `\udfff`, `\ud83d\ud83d`, `\ud83dx\ude00`, `\ude00\ud83d\ude00`, `\uD83D\uDE00`, `\ud83d\n`, `\u0000`, `a\u0000b`, `\uffff`, `\ufeff`,
	} {
		all = append(all, `{"s":"`+text+`","n":1}`, `{"`+text+`":1,"s":"name","n":2}`)
	}
	for _, number := range []string{
		"-0", "-0.0", "0e0", "-0e-1", "1e400", "-1e400", "1e-400", "1e999999999", "0.1e1", "1E5", "1e+5", "1e05", "123456789012345678", "-123456789012345678", "1234567890123456789",
		"9007199254740993", "000", "-01", "1e", "1e+", "1.e1", "--1", "- 1", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "1,", "0.", ".0", "١", strings.Repeat("9", 400), "0." + strings.Repeat("3", 400),
	} {
		all = append(all, `{"n":`+number+`}`, `{"x":[`+number+`],"s":"a"}`)
	}
	return append(all,
		`{"":1,"s":"empty name"}`, `{"":1,"":2,"n":3}`, `{"s":1,"\u0073":"a","s":null,"n":7,"\u006e":8}`, `{"S":"other","N":1}`, `{"x":{"s":"inner"},"n":[{"n":1}]}`,
		"\ufeff{}", "\ufeff"+`{"s":"a"}`, `{"s":"a"}`+"\ufeff", "{}\x00", "\x00{}", "{\x00}", `{"s":"a`+"\x00"+`"}`, `{"s":"a`+"\x1f"+`"}`, `{"s":"a`+"\x7f\u2028\u2029\u0085"+`"}`, "{}\n\n", "{\u00a0}", "{\f}", "{\v}",
		`{'s':"a"}`, `{"s":'a'}`, `{"s":"a"/**/}`, "{\"s\":\"a\"}//", `{"s":"a",,}`, `{"s":"a";}`, `{"s":undefined}`, `{"s":True}`, `{"s":nullx}`, `{"s":"\'"}`, `{"s":"\0"}`, `{"s":"\x41"}`, `{"s":"\U0041"}`, `{"s":"\u{41}"}`, `{"s":"\u 041"}`, `{"s":"\u+041"}`, "{\"s\":\"a\\\n\"}",
		`"s"`, `1`, `true`, `[{"s":"a"}]`, `{"s":"a"}{"s":"b"}`, `{"s":"a"},`, `{"s"}`, `{"s":}`, `{:1}`, `{,}`, `{"s":"a" "n":1}`, `{"s":["a",]}`, `{"s":[,]}`, `{"s":[1 2]}`, `{"s":[1}`, `{"s":{"a":1]}`, `}`, `{"`, `{"s`, `{"s":"`, `{"s":"\`, `{"s":"\u`, `{"s":"\ud83d\u`,
	)
}
