package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Readable is text of one line as it is, and anything else quoted.
func Readable(b []byte) string { return quotedUnless(unicode.IsPrint, b) }

// ReadableText is text as it is, lines and tabs and all, and anything else quoted: a
// terminal would take other bytes for orders.
func ReadableText(b []byte) string {
	return quotedUnless(func(c rune) bool { return c == '\n' || c == '\t' || unicode.IsPrint(c) }, b)
}

// quotedUnless quotes bytes that are not UTF-8, or have a character that is not well.
func quotedUnless(well func(rune) bool, b []byte) string {
	if !utf8.Valid(b) {
		return strconv.Quote(string(b))
	}
	for _, c := range string(b) {
		if !well(c) {
			return strconv.Quote(string(b))
		}
	}
	return string(b)
}

// Numbered is a number of things.
func Numbered(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Comma is a number with commas between thousands.
func Comma[T int | uint64](n T) string { return humanize.Comma(int64(n)) }

// Count is a number of things, with commas, and their name in the singular or plural.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Comma(n) + " " + many
}

// ShellWord quotes a key for a shell, tabs and all.
func ShellWord(s string) string {
	if r := Readable([]byte(s)); r != s {
		return "$'" + strings.ReplaceAll(r[1:len(r)-1], "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// PlainWord quotes a path for a shell if it has to be.
func PlainWord(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-") == "" {
		return path
	}
	return ShellWord(path)
}
