package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// curl is the command that gets what is at a path of the API, from where the person is.
func curl(r *http.Request, path string) string {
	return "curl -s" + auth(r) + " " + quoted(origin(r)+path)
}

// curlEvents is the command that follows what is at a path of the API.
func curlEvents(r *http.Request, path string) string {
	return "curl -sN -H 'Accept: text/event-stream'" + auth(r) + " " + quoted(origin(r)+path)
}

// auth names the token where a request had one to send, without showing it.
func auth(r *http.Request) string {
	if r.Header.Get("Authorization") == "" && len(r.Cookies()) == 0 {
		return ""
	}
	return ` -H "Authorization: Bearer $GNOMON_TOKEN"`
}

func origin(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

// pathOf escapes a part of a path.
func pathOf(part string) string { return url.PathEscape(part) }

// quoted is a word for a POSIX shell.
func quoted(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
