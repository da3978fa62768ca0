package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/host/conformance"
)

// madeUpEvents is how many events a check of rules makes up when it is given none.
const madeUpEvents = 20

// rules holds a module against the rules of docs/ABI.md that bind guests. It fails with
// exitDiffers when one is broken.
func (k *checker) rules(ctx context.Context, h *host.Host, path string) error {
	m, d, err := k.load(ctx, h, path)
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	events, err := k.eventList(ctx)
	if err != nil {
		return err
	}
	c := conformance.GuestCheck{Module: m, Code: d.code, Events: events, Settings: k.settings, Memory: k.limits.Memory}
	if k.query != nil {
		c.Requests = [][]byte{k.query}
	}
	report, err := conformance.CheckGuest(ctx, c)
	if err != nil {
		return k.settingsHint(err)
	}
	if k.json {
		out := d.json()
		out.OK = !report.Failed()
		for _, f := range report.Findings {
			out.Rules = append(out.Rules, ruleJSON{f.ID, f.Says, string(f.Verdict), f.Text})
		}
		k.printJSON(out)
	} else {
		k.printReport(path, report, events.Len())
	}
	if report.Failed() {
		return cli.Differs(errors.New("breaks rules of docs/ABI.md"))
	}
	return nil
}

// eventList reads the events of the file, or makes some up.
func (k *checker) eventList(ctx context.Context) (*testdriver.Events, error) {
	if k.events == "" {
		list := testdriver.NewEvents(k.keyOf)
		for i := range madeUpEvents {
			e := madeUp
			e.ID = fmt.Sprint(i + 1)
			if err := list.Append(ctx, e); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	in := k.stdin
	if k.events != "-" {
		f, err := os.Open(k.events)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return testdriver.ReadEvents(ctx, k.events, in, k.keyOf)
}

func (k *checker) printReport(path string, report *conformance.Report, events int) {
	of := eventsFile(k.events)
	if k.events == "" {
		of = "its own making; give real ones with --events"
	}
	fmt.Fprintf(k.stdout, "%s: rules of docs/ABI.md, by %s events of %s\n", path, cli.Comma(events), of)
	printFindings(k.stdout, report.Findings)
}

func printFindings(w io.Writer, list []conformance.Finding) {
	for _, f := range list {
		fmt.Fprintf(w, "  %-4s %-13s %s", f.ID, f.Verdict, f.Says)
		switch f.Verdict {
		case conformance.OK:
			fmt.Fprintln(w)
		case conformance.NotExercised:
			fmt.Fprintf(w, " (%s)\n", cli.Readable([]byte(f.Text)))
		default:
			fmt.Fprintf(w, "\n       %s\n", cli.Readable([]byte(f.Text)))
		}
	}
}
