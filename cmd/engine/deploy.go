package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/guest"
	"gnomon/engine/query/client"
	"gnomon/host"
	"gnomon/plugins"
	"gnomon/plugins/bucket"
)

func deployCommand() *cobra.Command {
	var configPath, into string
	var remove []string
	c := &cobra.Command{
		Use:   "deploy FILE.wasm…",
		Short: "Put modules where every engine that mirrors the bucket takes them from",
		Long: `Deploy puts a module into the object store plugins.bucket in JetStream, in place of the one with its
name, together with NAME.toml and NAME.wasm.minisig if they stand beside it: all of it at once, or nothing.
Engines with that bucket in their configuration take it as they take a file in plugins.dir.
Before that it holds the module against the contract, compiles it and starts it once, as check
does, with the settings and limits of NAME.toml or of the configuration; and it holds it against pins and
signatures. When one module is refused, none is deployed.

It works while an engine runs on the configuration, and while none does.`,
		Example: "  engine deploy build/plugins/count.wasm\n" +
			"  engine deploy --remove count",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && len(remove) == 0 {
				return errors.New("name a module to deploy, or one to remove with --remove")
			}
			return nil
		},
		RunE: func(c *cobra.Command, files []string) error {
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			if into == "" {
				into = cfg.Plugins.Bucket
			}
			if into == "" {
				return cli.WithHint(errors.New("the configuration names no bucket for modules"), `set plugins.bucket = "GNOMON_MODULES" in it, for one, so that engines mirror it; or name another one with --bucket`)
			}
			return deployModules(c, cfg, into, files, remove)
		},
	}
	cli.ConfigFlag(c, &configPath)
	c.Flags().StringVar(&into, "bucket", "", "object store to put them into; default: plugins.bucket of the configuration")
	c.Flags().StringSliceVar(&remove, "remove", nil, "remove the module with this name from it; may be repeated")
	return c
}

// deployModules checks all modules before it changes anything.
func deployModules(c *cobra.Command, cfg *config.Config, into string, files, remove []string) (err error) {
	ctx, out := c.Context(), c.OutOrStdout()
	all, err := readDeployments(ctx, cfg, files, c.ErrOrStderr())
	if err != nil {
		return err
	}
	for i, name := range remove {
		remove[i] = strings.TrimSuffix(name, ".wasm")
		if err := bucket.CheckName(remove[i]); err != nil {
			return err
		}
	}
	to, err := openDeployer(ctx, cfg, into, c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	for _, d := range all {
		done, err := to.deploy(ctx, d)
		if err != nil {
			return cli.Explain(err)
		}
		printStored(out, d.Name, done)
	}
	for _, name := range remove {
		if err := to.remove(ctx, name); err != nil {
			return cli.Explain(err)
		}
		fmt.Fprintf(out, "%s: removed from %s\n", name, into)
	}
	return nil
}

func printStored(w io.Writer, name string, done bucket.Stored) {
	what := "deployed to " + done.Bucket
	switch {
	case done.Created:
		what += ", which was created"
	case done.Same:
		what = "the same is deployed to " + done.Bucket
	}
	fmt.Fprintf(w, "%s: %s\n  sha256  %s\n  files   %s\n", name, what, done.SHA256, strings.Join(done.Files, ", "))
}

// readDeployments reads modules with what stands beside them, and refuses those that
// engines would refuse.
func readDeployments(ctx context.Context, cfg *config.Config, files []string, stderr io.Writer) (all []bucket.Deployment, err error) {
	trust, err := plugins.NewTrust(plugins.Signatures(cfg.Plugins.Signatures), cfg.Plugins.PublicKeys)
	if err != nil {
		return nil, err
	}
	h, closeHost, err := cli.ScratchHost(ctx)
	if err != nil {
		return nil, err
	}
	defer closeHost()
	for _, file := range files {
		d, err := bucket.Read(file)
		if err != nil {
			return nil, err
		}
		p, err := declarationOf(cfg, file, d)
		if err != nil {
			return nil, err
		}
		module := d.Files[d.Name+".wasm"]
		verdict, err := trust.Verify(plugins.Module{
			Name: d.Name + ".wasm", Folder: filepath.Dir(file), Bytes: module, SHA256: d.SHA256(), Signature: d.Files[d.Name+".wasm.minisig"],
		}, p.SHA256)
		if err != nil {
			return nil, err
		}
		if verdict.Warning != nil {
			fmt.Fprintf(stderr, "warning: %v\n", verdict.Warning)
		}
		if err := startOnce(ctx, h, module, p); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// declarationOf is the projection that a module is declared as, by its own file or by the
// configuration; otherwise it has the defaults.
func declarationOf(cfg *config.Config, file string, d bucket.Deployment) (config.Projection, error) {
	if text, ok := d.Files[d.Name+".toml"]; ok {
		path := filepath.Join(filepath.Dir(file), d.Name+".toml")
		p, err := config.ParseModuleFile(path, text)
		if err == nil && p.Module != d.Name+".wasm" {
			err = cli.WithHint(fmt.Errorf("%s is deployed with %s.wasm, and names the module %s", path, d.Name, p.Module), "leave module out of it, or move it to where it belongs")
		}
		return p, err
	}
	for _, p := range cfg.Projections {
		if p.Module == d.Name+".wasm" {
			return p, nil
		}
	}
	return config.DefaultProjection(), nil
}

// startOnce does with a module what an engine does before it uses one.
func startOnce(ctx context.Context, h *host.Host, module []byte, p config.Projection) error {
	m, err := h.Load(ctx, module, host.Limits{ModuleBytes: int64(p.Limits.Module), Memory: uint64(p.Limits.Memory), Table: uint64(p.Limits.Table), Compile: time.Duration(p.Limits.Compile), Fuel: uint64(p.Limits.Fuel)})
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	in, err := m.Instantiate(ctx, guest.Config{Settings: p.SettingsJSON, Memory: uint64(p.Limits.Memory)})
	if err == nil {
		return in.Close(ctx)
	}
	if p.Name == "" {
		err = cli.WithHint(err, "init was called with empty settings; a module that needs some takes them from its NAME.toml")
	}
	return err
}

// deployer puts modules into a bucket.
type deployer interface {
	deploy(ctx context.Context, d bucket.Deployment) (bucket.Stored, error)
	remove(ctx context.Context, name string) error
	close() error
}

// openDeployer finds out how to reach a bucket: as openTarget does, but that no streams
// are declared in an external server.
func openDeployer(ctx context.Context, c *config.Config, into string, stderr io.Writer) (deployer, error) {
	if c.NATS.URL != broker.Embedded || c.NATS.Context != "" {
		b, err := openBroker(ctx, c, cli.QuietLog(stderr))
		if err != nil {
			return nil, err
		}
		return &bucketDeployer{into, &target{broker: b, close: func() error { b.Close(); return nil }}}, nil
	}
	t, err := openTarget(ctx, c, cli.QuietLog(stderr))
	if err != nil {
		return nil, err
	}
	if t.client == nil {
		return &bucketDeployer{into, t}, nil
	}
	return &engineDeployer{bucket: into, client: t.client}, nil
}

// bucketDeployer puts them there itself.
type bucketDeployer struct {
	bucket string
	target *target
}

func (b *bucketDeployer) deploy(ctx context.Context, d bucket.Deployment) (done bucket.Stored, err error) {
	err = b.permitted(ctx, func(ctx context.Context) error {
		done, err = bucket.Deploy(ctx, b.target.broker.JetStream(), b.bucket, d)
		return err
	})
	return done, err
}

func (b *bucketDeployer) remove(ctx context.Context, name string) error {
	return b.permitted(ctx, func(ctx context.Context) error {
		return bucket.Remove(ctx, b.target.broker.JetStream(), b.bucket, name)
	})
}

func (b *bucketDeployer) permitted(ctx context.Context, fn func(context.Context) error) error {
	return permitted(ctx, b.target.broker, fn, b.bucket, "OBJ_"+b.bucket)
}

func (b *bucketDeployer) close() error { return b.target.close() }

// engineDeployer has the engine put them there that has the embedded server.
type engineDeployer struct {
	bucket string
	client *client.Client
}

func (e *engineDeployer) deploy(ctx context.Context, d bucket.Deployment) (bucket.Stored, error) {
	object, err := d.Pack()
	if err != nil {
		return bucket.Stored{}, err
	}
	done, err := e.client.Deploy(ctx, e.bucket, d.Name, object)
	return bucket.Stored(done), err
}

func (e *engineDeployer) remove(ctx context.Context, name string) error {
	return e.client.Undeploy(ctx, e.bucket, name)
}

func (e *engineDeployer) close() error { return nil }
