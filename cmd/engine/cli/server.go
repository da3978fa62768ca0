package cli

import (
	"cmp"
	"errors"
	"gnomon/engine"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// ConfigFlag adds --config.
func ConfigFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "config", "config.toml", "configuration file")
}

// DefaultServer is the URL of an engine that nobody configured otherwise.
const DefaultServer = "http://127.0.0.1:7780"

// StartOne is what to do when no engine answers.
const StartOne = "start one with: engine run; name another with --server"

// Explain adds the hint that an error of a running engine comes with, in the words
// of the command line.
func Explain(err error) error {
	var p *wire.Problem
	var ofTLS *client.TLSError
	isProblem := errors.As(err, &p)
	switch {
	case errors.Is(err, engine.ErrNoProjection), isProblem && p.Code == wire.CodeNoProjection:
		return WithHint(err, "engine status lists them")
	case errors.Is(err, engine.ErrNoGeneration), isProblem && p.Code == wire.CodeNoGeneration:
		return WithHint(err, "engine status NAME says which there are")
	case errors.Is(err, engine.ErrNoLetter), isProblem && p.Code == wire.CodeNoLetter:
		return WithHint(err, "engine dead-letters list NAME lists them")
	case isProblem && p.Hint != "":
		return WithHint(err, "%s", p.Hint)
	case errors.As(err, &ofTLS):
		return WithHint(err, "%s", ofTLS.Hint)
	case errors.Is(err, client.ErrUnreachable):
		return WithHint(err, StartOne)
	}
	return err
}

// BaseOf is the URL of an engine that a data directory names.
func BaseOf(h store.Holder) string {
	if strings.Contains(h.HTTP, "://") {
		return h.HTTP
	}
	return "http://" + h.HTTP
}

// Grants are those that a configuration declares.
func Grants(h config.HTTP) (grants []access.Grant) {
	if h.TokenFile != "" {
		grants = append(grants, access.Grant{File: h.TokenFile, Role: access.Admin})
	}
	for _, t := range h.Tokens {
		grants = append(grants, access.Grant{File: t.File, Role: access.Role(t.Role), Projections: t.Projections, Streams: t.Streams})
	}
	return grants
}

// ownToken is the token with which a command asks the engine that runs on the same
// configuration: the first one that may do everything, or else GNOMON_TOKEN.
func ownToken(h config.HTTP) (string, error) {
	other := os.Getenv("GNOMON_TOKEN")
	for _, g := range Grants(h) {
		if !g.Everything() {
			continue
		}
		token, err := access.FirstToken(g.File)
		if err != nil && other != "" {
			return other, nil // the file is another user's
		}
		return token, err
	}
	return other, nil
}

// OwnClient asks the engine that runs on the same configuration.
func OwnClient(c config.HTTP, h store.Holder) (*client.Client, error) {
	token, err := ownToken(c)
	if err != nil {
		return nil, err
	}
	cl, err := client.New(BaseOf(h), token)
	if err == nil && c.TLS.Cert != "" {
		files := TLSFiles()
		files.Server = c.TLS.Cert
		err = cl.UseTLS(files)
	}
	return cl, err
}

// TLSFiles are those that the environment names.
func TLSFiles() client.TLS {
	return client.TLS{CA: os.Getenv("GNOMON_CA"), Cert: os.Getenv("GNOMON_CERT"), Key: os.Getenv("GNOMON_KEY")}
}

// Server are the flags of a command that asks a running engine.
type Server struct {
	URL  string // of the engine
	JSON bool
}

// AddServer adds --server. Who prints JSON, too, adds a flag for that.
func (f *Server) AddServer(c *cobra.Command) {
	c.Flags().StringVar(&f.URL, "server", cmp.Or(os.Getenv("GNOMON_SERVER"), DefaultServer), "URL of a running engine; also GNOMON_SERVER, its token GNOMON_TOKEN; for https GNOMON_CA, and GNOMON_CERT with GNOMON_KEY")
}

// Client asks the engine that --server names, as the environment allows.
func (f *Server) Client() (*client.Client, error) {
	c, err := client.New(f.URL, os.Getenv("GNOMON_TOKEN"))
	if files := TLSFiles(); err == nil && files != (client.TLS{}) {
		err = c.UseTLS(files)
	}
	return c, err
}

// Embedded reports whether the NATS server is one inside the process.
func Embedded(c *config.Config) bool {
	return c.NATS.URL == broker.Embedded && c.NATS.Context == ""
}
