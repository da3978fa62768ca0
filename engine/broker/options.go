package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// options are those of the connection, and the URL to connect to.
func (b *Broker) options(c Config) ([]nats.Option, string, error) {
	if c.Context != "" {
		var err error
		if c, err = withContext(c); err != nil {
			return nil, "", err
		}
	}
	outage := outage{broker: b, told: true} // Open itself tells of one at the start
	o := []nats.Option{
		nats.Name("gnomon"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.IgnoreAuthErrorAbort(), // credentials are rotated while the engine runs
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.reported(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.lost()
			b.note("NATS connection lost", err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { outage.tried(err) }),
		nats.ConnectHandler(func(*nats.Conn) { outage.over() }),
		nats.ReconnectHandler(func(*nats.Conn) {
			outage.over()
			b.log.Info("NATS connection is back")
		}),
	}
	auth, err := authentication(c)
	if err != nil {
		return nil, "", err
	}
	o = append(o, auth...)
	if c.InboxPrefix != "" {
		o = append(o, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return append(o, encryption(c.TLS)...), c.URL, nil
}

// outage is a time without a connection. The client calls its methods one after the
// other.
type outage struct {
	broker *Broker
	told   bool // the log tells of it
}

// tried keeps why a try to connect failed. Only the first one of an outage is logged:
// tries go on for as long as it takes, some seconds apart.
func (o *outage) tried(err error) {
	if !o.told {
		o.told = true
		o.broker.note("NATS cannot be reached, trying on until it can", err)
		return
	}
	o.broker.keep(err)
}

// over forgets what was wrong.
func (o *outage) over() {
	o.told = false
	o.broker.refusals.forget()
	o.broker.keep(nil)
}

// keep is note without a word in the log.
func (b *Broker) keep(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = err
}

// reconnectDelay grows from 100 ms to 5 s.
func reconnectDelay(attempts int) time.Duration {
	return min(100*time.Millisecond<<min(attempts, 6), 5*time.Second)
}

func authentication(c Config) ([]nats.Option, error) {
	switch {
	case c.Credentials != "":
		return credentials(c.Credentials)
	case c.NKey != "":
		o, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("read nats.nkey %s: %w", c.NKey, err)
		}
		return []nats.Option{o}, nil
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password)}, nil
	case c.Token != "":
		return []nats.Option{nats.Token(c.Token)}, nil
	}
	return nil, nil
}

func encryption(t TLS) []nats.Option {
	var o []nats.Option
	if t.CA != "" {
		o = append(o, nats.RootCAs(t.CA))
	}
	if t.Cert != "" {
		o = append(o, nats.ClientCert(t.Cert, t.Key))
	}
	if t.First {
		o = append(o, nats.TLSHandshakeFirst())
	}
	return o
}

// credentials reads a file once now: the client reads it for every connection, and
// would retry over a file that is no good.
func credentials(path string) ([]nats.Option, error) {
	option := nats.UserCredentials(path)
	var try nats.Options
	err := option(&try)
	if err == nil {
		_, err = try.UserJWT()
	}
	if err == nil {
		_, err = try.SignatureCB(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("read nats.credentials %s: %w", path, err)
	}
	return []nats.Option{option}, nil
}

// cliContext is the part of a context of the nats CLI that a client needs.
type cliContext struct {
	URL         string `json:"url"`
	Token       string `json:"token"`
	User        string `json:"user"`
	Password    string `json:"password"`
	Creds       string `json:"creds"`
	NKey        string `json:"nkey"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
	CA          string `json:"ca"`
	InboxPrefix string `json:"inbox_prefix"`
	TLSFirst    bool   `json:"tls_first"`
}

// withContext fills in a configuration from a context of the nats CLI, which keeps
// them in the user's configuration folder.
func withContext(c Config) (Config, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return c, fmt.Errorf("find nats context %q: %w", c.Context, err)
		}
		dir = filepath.Join(home, ".config")
	}
	path := filepath.Join(dir, "nats", "context", c.Context+".json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("nats context %q: there is no %s; list the contexts with: nats context ls", c.Context, path)
	}
	if err != nil {
		return c, fmt.Errorf("read nats context %q: %w", c.Context, err)
	}
	var x cliContext
	if err := json.Unmarshal(b, &x); err != nil {
		return c, fmt.Errorf("read nats context %q: %s: %w", c.Context, path, err)
	}
	c.URL = x.URL
	if c.URL == "" {
		c.URL = nats.DefaultURL
	}
	c.Token, c.User, c.Password = x.Token, x.User, x.Password
	c.Credentials, c.NKey = home(x.Creds), home(x.NKey)
	c.InboxPrefix = x.InboxPrefix
	c.TLS = TLS{CA: home(x.CA), Cert: home(x.Cert), Key: home(x.Key), First: x.TLSFirst}
	return c, nil
}

// home expands a leading ~ as the nats CLI does.
func home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(dir, rest)
}
