package main

import (
	"cmp"
	"errors"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// configFlag adds --config.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "config", "config.toml", "configuration file")
}

const defaultServer = "http://127.0.0.1:7780"

// startOne is what to do when no engine answers.
const startOne = "start one with: engine run; name another with --server"

// explain adds the hint that an error of a running engine comes with, in the words
// of the command line.
func explain(err error) error {
	var p *wire.Problem
	var ofTLS *client.TLSError
	isProblem := errors.As(err, &p)
	switch {
	case errors.Is(err, engine.ErrNoProjection), isProblem && p.Code == wire.CodeNoProjection:
		return withHint(err, "engine status lists them")
	case errors.Is(err, engine.ErrNoGeneration), isProblem && p.Code == wire.CodeNoGeneration:
		return withHint(err, "engine status NAME says which there are")
	case errors.Is(err, engine.ErrNoLetter), isProblem && p.Code == wire.CodeNoLetter:
		return withHint(err, "engine dead-letters list NAME lists them")
	case isProblem && p.Hint != "":
		return withHint(err, "%s", p.Hint)
	case errors.As(err, &ofTLS):
		return withHint(err, "%s", ofTLS.Hint)
	case errors.Is(err, client.ErrUnreachable):
		return withHint(err, startOne)
	}
	return err
}

// baseOf is the URL of an engine that a data directory names.
func baseOf(h store.Holder) string {
	if strings.Contains(h.HTTP, "://") {
		return h.HTTP
	}
	return "http://" + h.HTTP
}

// grantsOf are those that a configuration declares.
func grantsOf(h config.HTTP) (grants []access.Grant) {
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
	for _, g := range grantsOf(h) {
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

// ownClient asks the engine that runs on the same configuration.
func ownClient(c config.HTTP, h store.Holder) (*client.Client, error) {
	token, err := ownToken(c)
	if err != nil {
		return nil, err
	}
	cl, err := client.New(baseOf(h), token)
	if err == nil && c.TLS.Cert != "" {
		files := tlsFiles()
		files.Server = c.TLS.Cert
		err = cl.UseTLS(files)
	}
	return cl, err
}

// tlsFiles are those that the environment names.
func tlsFiles() client.TLS {
	return client.TLS{CA: os.Getenv("GNOMON_CA"), Cert: os.Getenv("GNOMON_CERT"), Key: os.Getenv("GNOMON_KEY")}
}

// serverFlags are the flags of a command that asks a running engine.
type serverFlags struct {
	server string // URL
	json   bool
}

// addServer adds --server. Who prints JSON, too, adds a flag for that.
func (f *serverFlags) addServer(c *cobra.Command) {
	c.Flags().StringVar(&f.server, "server", cmp.Or(os.Getenv("GNOMON_SERVER"), defaultServer), "URL of a running engine; also GNOMON_SERVER, its token GNOMON_TOKEN; for https GNOMON_CA, and GNOMON_CERT with GNOMON_KEY")
}

// client asks the engine that --server names, as the environment allows.
func (f *serverFlags) client() (*client.Client, error) {
	c, err := client.New(f.server, os.Getenv("GNOMON_TOKEN"))
	if files := tlsFiles(); err == nil && files != (client.TLS{}) {
		err = c.UseTLS(files)
	}
	return c, err
}
