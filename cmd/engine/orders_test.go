package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// orders is the application of the example order-status over a real engine.
type orders struct {
	t   *testing.T
	url string
	p   *process
}

func startOrders(t *testing.T) *orders {
	t.Helper()
	app := buildExample(t, "order-status/app")
	p := newHome(t, "orders.*", projection("order-status", "order-status.wasm")).serve()
	c := exec.CommandContext(t.Context(), app, "-listen", "127.0.0.1:0", "-engine", p.url(), "-stream", "LOG")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // the context of the test has killed it
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &orders{t: t, url: strings.TrimSpace(url), p: p}
}

// send sends a command.
func (o *orders) send(id, command, body string) (status int, seq uint64, refused string) {
	o.t.Helper()
	res, err := http.Post(o.url+"/orders/"+id+"/"+command, "application/json", strings.NewReader(body))
	if err != nil {
		o.t.Error(err)
		return 0, 0, ""
	}
	defer res.Body.Close()
	var answer struct {
		Seq   uint64
		Error string
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		o.t.Error(err)
	}
	return res.StatusCode, answer.Seq, answer.Error
}

// awaitOrder reads an order until it is answered: a busy machine may not come to it in time.
func (o *orders) awaitOrder(path string) {
	o.t.Helper()
	for late := time.Now().Add(patience); ; {
		status, body := httpGet(o.t, o.url+"/orders/"+path)
		if status == http.StatusOK {
			return
		}
		if time.Now().After(late) {
			o.t.Fatalf("order %s is not answered: %d %s", path, status, body)
		}
	}
}

const twoItems = `[{"item":"tea","quantity":2,"cents":450},{"item":"pot","quantity":1,"cents":2900}]`

// A command is answered with the sequence of what it appended, and a read with that has its effect, every
// time; what the order does not allow is refused with how it stands.
func TestOrderStatus(t *testing.T) {
	o := startOrders(t)
	for n, step := range []struct {
		id, command, body string
		want              string // part of the order, or of the refusal
		status            int
	}{
		{"1", "place", twoItems, `{"status":"placed","items":{"pot":1,"tea":2},"cents":3800,"version":3}`, 200},
		{"1", "place", twoItems, `order 1 is "placed": it cannot place`, 409},
		{"1", "ship", "", `order 1 is "placed": it cannot ship`, 409},
		{"1", "pay", "", `"status":"paid"`, 200},
		{"2", "place", twoItems, `"version":7`, 200},
		{"1", "ship", "", `"status":"shipped"`, 200},
		{"1", "cancel", "", `it cannot cancel`, 409},
		{"2", "cancel", "", `"status":"cancelled"`, 200},
		{"3", "pay", "", `order 3 is "": it cannot pay`, 409},
		{"3", "place", "[]", "at least one item", 409},
		{"3", "place", "{}", "the body is a list of items", 400},
		{"a.b", "place", twoItems, "letters, digits", 400},
		{"1", "lose", "", `there is no command "lose"`, 409},
	} {
		status, seq, refused := o.send(step.id, step.command, step.body)
		got := refused
		if status == 200 {
			_, got = httpGet(t, fmt.Sprintf("%s/orders/%s?min_seq=%d", o.url, step.id, seq))
		}
		if status != step.status || !strings.Contains(got, step.want) {
			t.Errorf("step %d, %s %s: %d %s, want %d %s", n, step.command, step.id, status, got, step.status, step.want)
		}
	}
	if status, body := httpGet(t, o.url+"/orders/9"); status != 404 || !strings.Contains(body, "there is no order 9") {
		t.Errorf("an order that is not there: %d %s", status, body)
	}
	if status, body := httpGet(t, o.url); status != 200 || !strings.Contains(body, `new EventSource("/changes")`) {
		t.Errorf("the page: %d %s", status, body)
	}
}

// Of many who want something else of the same order at once, each is decided on the order as it is then: one
// pays and one ships, or one cancels, and never both. The projection would halt.
func TestOrderStatusAtOnce(t *testing.T) {
	const count, clients = 6, 12
	o := startOrders(t)
	var mu sync.Mutex
	done := map[string]int{}
	for i := range count {
		if status, _, refused := o.send(fmt.Sprint(i), "place", twoItems); status != 200 {
			t.Fatalf("place: %d %s", status, refused)
		}
	}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range count {
				command := []string{"pay", "cancel", "ship"}[(c+i)%3]
				status, _, refused := o.send(fmt.Sprint(i), command, "")
				if status != 200 && status != 409 {
					t.Errorf("%s %d: %d %s", command, i, status, refused)
				}
				if status == 200 {
					mu.Lock()
					done[fmt.Sprint(command, " ", i)]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	for i := range count {
		pay, cancel, ship := done[fmt.Sprint("pay ", i)], done[fmt.Sprint("cancel ", i)], done[fmt.Sprint("ship ", i)]
		want := `"status":"paid"`
		switch {
		case pay > 1 || cancel > 1 || ship > 1 || ship > pay || ship+cancel > 1:
			t.Errorf("order %d: paid %d times, cancelled %d times, shipped %d times", i, pay, cancel, ship)
		case cancel == 1:
			want = `"status":"cancelled"`
		case ship == 1:
			want = `"status":"shipped"`
		case pay == 0:
			want = `"status":"placed"`
		}
		if status, body := httpGet(t, fmt.Sprintf("%s/orders/%d?min_seq=%d", o.url, i, len(done)+3*count)); status != 200 || !strings.Contains(body, want) {
			t.Errorf("order %d: %d %s, want %s", i, status, body, want)
		}
	}
}

// The page's changes come through the application: the orders as they are, and then each change. While the
// engine is away the page is told to ask again.
func TestOrderStatusChanges(t *testing.T) {
	o := startOrders(t)
	status, seq, refused := o.send("1", "place", twoItems)
	if status != 200 {
		t.Fatalf("place: %d %s", status, refused)
	}
	o.awaitOrder(fmt.Sprintf("1?min_seq=%d", seq)) // so that it is in the snapshot
	res, err := (&http.Client{Timeout: patience}).Get(o.url + "/changes")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || !strings.HasPrefix(got, "text/event-stream") {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s %s %s", res.Status, got, b)
	}
	lines := bufio.NewScanner(res.Body)
	until := func(kind, part string) {
		t.Helper()
		event := ""
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = e
			}
			if event == kind && strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Fatalf("the changes end before %s with %s: %v", kind, part, lines.Err())
	}
	until("snapshot", `"key":"order\t1","value":{"status":"placed"`)
	if status, _, refused := o.send("1", "pay", ""); status != 200 {
		t.Fatalf("pay: %d %s", status, refused)
	}
	until("change", `"key":"order\t1","value":{"status":"paid"`)
	until("position", `"as_of_seq":4`)

	o.p.signal(syscall.SIGKILL)
	_, _ = o.p.wait()
	for lines.Scan() { // to the end, which comes
	}
	if status, body := httpGet(t, o.url+"/changes"); status != 200 || body != "retry: 2000\n\n" {
		t.Errorf("while the engine is away: %d %q, so that no browser asks again", status, body)
	}
}
