package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
	"gnomon/sdk/abi"
)

func queryCommand() *cobra.Command {
	var f readFlags
	var raw bool
	c := &cobra.Command{
		Use:   "query NAME [REQUEST|-]",
		Short: "Print what a projection's module answers to a request",
		Long: `Query hands a request to the module of a projection, which answers it over the state: what
it can be asked, its author says. The request is the argument, or with - what is read from
standard input; without it is empty. An answer that is text is printed as it is, and one that
is not quoted, with a line end after it. With --raw its bytes are printed and nothing else.
With --json it prints
  {"projection","answer","as_of_seq","as_of_time"}
where an answer that is no JSON is "answer_b64". It asks a running engine.`,
		Example: "  engine query repo-files '{\"top\":5}'\n" +
			"  engine query repo-files - --raw < request.json",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if raw && f.JSON {
				return cli.Usagef(c, "--raw and --json are both set: use one of them")
			}
			request, err := requestOf(c, args[1:])
			if err != nil {
				return err
			}
			asked, err := f.Client()
			if err != nil {
				return err
			}
			a, err := asked.At(f.moment.asked(c.ErrOrStderr())).Query(c.Context(), args[0], request)
			if err != nil {
				return cli.Explain(err)
			}
			return printAnswer(c.OutOrStdout(), a, f.JSON, raw)
		},
	}
	f.AddServer(c)
	f.moment.add(c)
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	c.Flags().BoolVar(&raw, "raw", false, "print the bytes of the answer, whatever they are, without a line end")
	return c
}

// requestOf is the request of a command line.
func requestOf(c *cobra.Command, args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		return nil, nil
	case args[0] != "-":
		return []byte(args[0]), nil
	}
	b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), abi.MaxRequest+1))
	if err == nil && len(b) > abi.MaxRequest {
		err = fmt.Errorf("the request on standard input has more than %d bytes, which is the limit", abi.MaxRequest)
	}
	return b, err
}

func printAnswer(w io.Writer, a wire.Answer, asJSON, raw bool) (err error) {
	switch {
	case asJSON:
		return cli.PrintJSON(w, a)
	case raw:
		_, err = w.Write(a.Body)
	default:
		_, err = fmt.Fprintln(w, cli.ReadableText(bytes.TrimSuffix(a.Body, []byte("\n"))))
	}
	return err
}
