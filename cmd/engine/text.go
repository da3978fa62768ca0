package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// readable is text of one line as it is, and anything else quoted.
func readable(b []byte) string { return quotedUnless(unicode.IsPrint, b) }

// readableText is text as it is, lines and tabs and all, and anything else quoted: a
// terminal would take other bytes for orders.
func readableText(b []byte) string {
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

// numbered is a number of things.
func numbered(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func comma[T int | uint64](n T) string { return humanize.Comma(int64(n)) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return comma(n) + " " + many
}

// shellWord quotes a key for a shell, tabs and all.
func shellWord(s string) string {
	if r := readable([]byte(s)); r != s {
		return "$'" + strings.ReplaceAll(r[1:len(r)-1], "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainWord quotes a path for a shell if it has to be.
func plainWord(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-") == "" {
		return path
	}
	return shellWord(path)
}
