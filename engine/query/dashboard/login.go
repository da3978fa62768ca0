package dashboard

import "net/http"

// loginData is what the page shows that asks for a token.
type loginData struct {
	Next   string // where to go then
	Failed string // why the last try was in vain
}

// login asks for a token. It is shown in place of every page while there is none, so that it
// has the status of a request without one; the server checks the token.
func (d *Dashboard) login(r *http.Request) (*page, error) {
	data := loginData{Next: r.URL.Query().Get("next")}
	status := http.StatusUnauthorized
	switch r.URL.Query().Get("failed") {
	case "wrong":
		data.Failed = "This is no token of this engine, or no longer one."
	case "ended":
		data.Failed = "The session has ended, and nothing was done: log in, and do it again."
	case "busy":
		data.Failed, status = "Too many tokens were tried: wait a second.", http.StatusTooManyRequests
	}
	return &page{Title: "Log in", template: "login", status: status, Data: data}, nil
}
