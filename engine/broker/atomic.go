package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// atomicEvents is how many messages a server takes in one atomic batch, unless its
// max_batch_size says otherwise.
const atomicEvents = 1000

// How much of an atomic batch may be on its way without an answer: the server has a
// limited queue for each stream, and drops what comes beyond it.
const (
	atomicAhead      = 200
	atomicAheadBytes = 1 << 20
)

// Codes of the server's errors about atomic batches (nats-server, server/errors.json);
// the client has no names for them.
const (
	atomicDisabled   jetstream.ErrorCode = 10174
	atomicIncomplete jetstream.ErrorCode = 10176
	atomicTooMany    jetstream.ErrorCode = 10199
	atomicDuplicate  jetstream.ErrorCode = 10201
)

// publishAtomic stores messages in their stream, all of them, one directly after the
// other, or none. It returns the sequence of the last. The stream's configuration must have
// allow_atomic: servers before 2.12 do not know such batches, and store each message by
// itself. A *jetstream.APIError says that none was stored; after any other error it is not
// known, unless nothing could be sent. The protocol is ADR-50 of NATS:
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
func (b *Broker) publishAtomic(ctx context.Context, messages []*nats.Msg) (last uint64, err error) {
	conn := b.js.Conn()
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe()

	answered, ahead := 0, 0 // messages, and the bytes of those that are not
	answer := func() error {
		last, err = atomicAnswer(ctx, sub)
		ahead -= messages[answered].Size()
		answered++
		return err
	}
	batch := rand.Text()
	for i, m := range messages {
		if err := conn.PublishMsg(atomicMessage(m, inbox, batch, i+1, i == len(messages)-1)); err != nil {
			return 0, err
		}
		// The first is answered before others are sent: most refusals come with it.
		ahead += m.Size()
		for i < len(messages)-1 && answered <= i && (answered == 0 || i-answered > atomicAhead || ahead > atomicAheadBytes) {
			if err := answer(); err != nil {
				return 0, err
			}
		}
	}
	for answered < len(messages) {
		if err := answer(); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// atomicMessage is a message as the n-th of a batch, which the last one commits.
func atomicMessage(m *nats.Msg, reply, batch string, n int, last bool) *nats.Msg {
	header := nats.Header{}
	maps.Copy(header, m.Header)
	header.Set("Nats-Batch-Id", batch)
	header.Set("Nats-Batch-Sequence", strconv.Itoa(n))
	if last {
		header.Set("Nats-Batch-Commit", "1")
	}
	return &nats.Msg{Subject: m.Subject, Reply: reply, Header: header, Data: m.Data}
}

// atomicAnswer waits for the answer to one message of a batch: nothing, or for the last one
// its sequence.
func atomicAnswer(ctx context.Context, sub *nats.Subscription) (sequence uint64, err error) {
	m, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return 0, jetstream.ErrNoStreamResponse
	case err != nil:
		return 0, err
	case len(m.Data) == 0:
		return 0, nil
	}
	var answer struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return 0, fmt.Errorf("read the server's answer to an atomic batch: %w", err)
	}
	if answer.Error != nil {
		return 0, answer.Error
	}
	return answer.Sequence, nil
}
